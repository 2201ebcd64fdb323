use pyo3::prelude::*;

#[pymodule]
fn glade_case(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
