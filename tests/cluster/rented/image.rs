//! The program under test as an image, made as docs/burst.md says: the binary, the libraries that it loads, and certificates.

use std::{
    fs::{self, File},
    path::Path,
};

use crate::stage::{Stage, output_of, text};

pub const IMAGE: &str = "hoist.local/hoist:1";
/// Where the image has the roles that come before hoist's own.
pub const ROLES: &str = "/library";

/// A folder with certificates, the program, the script that collects libraries, the roles, the image's name: `image.tar` in that folder.
const ARCHIVE: &str = r#"
cd "$1"
strip -o hoist "$2"
sh "$3" root "$PWD/hoist"
mkdir -p root/usr/local/bin root/etc/ssl/certs
mv "root$PWD/hoist" root/usr/local/bin/
cp ca-certificates.crt root/etc/ssl/certs/
cp -r "$4" root/library
tar -C root --owner 0 --group 0 -cf layer.tar .
layer=$(sha256sum layer.tar | cut -d ' ' -f 1)
printf '{"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/usr/local/bin:/usr/bin"]},
         "rootfs": {"type": "layers", "diff_ids": ["sha256:%s"]}}' "$layer" >config.json
printf '[{"Config": "config.json", "RepoTags": ["%s"], "Layers": ["layer.tar"]}]' "$5" >manifest.json
tar -cf image.tar manifest.json config.json layer.tar
"#;

/// Makes it and gives it to these nodes, as a registry would.
pub fn supply(stage: &Stage, nodes: &[&str]) {
    let folder = stage.path("image");
    fs::create_dir(&folder).unwrap();
    let certificates = stage.on(nodes[0], "cat /etc/ssl/certs/ca-certificates.crt");
    fs::write(folder.join("ca-certificates.crt"), certificates).unwrap();
    let collect = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lab/scripts/collect.sh");
    let (hoist, library) = (env!("CARGO_BIN_EXE_hoist"), stage.path("library"));
    output_of("sh", &["-euc", ARCHIVE, "sh", text(&folder), hoist, text(&collect), text(&library), IMAGE]);
    for node in nodes {
        let mut import = stage.command(&["lab", "ssh", node, "--", "ctr -n k8s.io images import -"]);
        import.stdin(File::open(folder.join("image.tar")).unwrap());
        stage.run(import).exits(0);
    }
}
