// Stand-in for softprops/action-gh-release.
import { checkInputs, python } from '/opt/runner/actions/python.mjs'
import { findFiles } from '/opt/runner/actions/release_files.mjs'

const checked = checkInputs('softprops-action-gh-release')
if (checked) python('release', JSON.stringify(findFiles(checked.version, checked.inputs)))
