#include <Python.h>

static struct PyModuleDef core = {PyModuleDef_HEAD_INIT, "_core", NULL, 0, NULL};

PyMODINIT_FUNC PyInit__core(void) { return PyModule_Create(&core); }
