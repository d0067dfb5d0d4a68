//! Bundles: what goes in comes out, the same bytes each time, and nothing that does not belong there.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use hoist::artifact::{
    self, Architecture, Error, Index, Lock, Store, bundle, catalogue::Place, lock, packages,
};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::sha256;

pub struct Bed {
    pub folder: TempDir,
    pub store: Store,
    pub lock: Lock,
}

/// A store with an image and some files, and the lock of them.
pub fn bed(files: &[Vec<u8>]) -> Bed {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("store"));
    let blob = |content: &[u8]| json!({"digest": format!("sha256:{}", store.put(content).unwrap()), "size": content.len()});
    let manifest = json!({"schemaVersion": 2, "config": blob(b"{}"), "layers": [blob(b"layer")]}).to_string();
    let digest = format!("sha256:{}", store.put(manifest.as_bytes()).unwrap());
    let file = |(number, content): (usize, &Vec<u8>)| lock::File {
        name: format!("file-{number}"),
        version: "1".into(),
        architecture: Architecture::Amd64,
        place: Place::Host,
        url: format!("https://example.org/{number}"),
        sha256: store.put(content).unwrap(),
        size: content.len() as u64,
        member: None,
    };
    let lock = Lock {
        kubernetes: "1.36.5".into(),
        architectures: vec![Architecture::Amd64],
        files: files.iter().enumerate().map(file).collect(),
        images: vec![lock::Image {
            name: "pause".into(),
            reference: "registry.k8s.io/pause:3.10.2".into(),
            architecture: Architecture::Amd64,
            digest,
            size: manifest.len() as u64 + 7,
            everywhere: false,
        }],
        charts: vec![lock::Chart {
            name: "metallb".into(),
            version: "0.16.1".into(),
            url: "https://metallb.github.io/metallb-0.16.1.tgz".into(),
            sha256: store.put(b"chart").unwrap(),
            size: 5,
        }],
        packages: vec![packages::System {
            os: "debian-12".into(),
            architecture: Architecture::Amd64,
            needs: [("socat".to_owned(), vec!["socat".to_owned()])].into(),
            files: vec![packages::Package {
                name: "socat".into(),
                version: "1.7-1".into(),
                url: "http://deb.example.org/socat_1.7-1_amd64.deb".into(),
                sha256: store.put(b"package").unwrap(),
                size: 7,
            }],
        }],
    };
    Bed { folder, store, lock }
}

impl Bed {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn bundle(&self) -> PathBuf {
        let path = self.path("office.bundle");
        bundle::create(&path, &self.lock, &self.store).unwrap();
        path
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn what_goes_in_comes_out(files in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..5000), 1..6)) {
        let bed = bed(&files);
        let path = bed.bundle();
        let again = bed.path("again.bundle");
        bundle::create(&again, &bed.lock, &bed.store).unwrap();
        prop_assert_eq!(fs::read(&path).unwrap(), fs::read(again).unwrap());

        prop_assert_eq!(&bundle::lock(&path).unwrap(), &bed.lock);
        let verified = bundle::verify(&path).unwrap();
        let store = Store::at(bed.path("elsewhere"));
        prop_assert_eq!(&bundle::extract(&path, &store).unwrap(), &verified);
        for (file, content) in bed.lock.files.iter().zip(&files) {
            let found = store.find(&file.sha256).unwrap().expect("extracted");
            prop_assert_eq!(&fs::read(found).unwrap(), content);
        }
        prop_assert_eq!(fs::read_dir(bed.path("elsewhere/partial")).unwrap().count(), 0);
    }
}

#[test]
fn a_bundle_cut_anywhere_is_found_out() {
    // Random bytes, so that packed bytes and unpacked ones are about as many.
    let content = (0..20_000u32).flat_map(|number| sha256(&number.to_le_bytes()).into_bytes()).collect();
    let bed = bed(&[content, b"second".to_vec()]);
    let whole = fs::read(bed.bundle()).unwrap();
    let cut = bed.path("cut.bundle");
    for part in 0..40 {
        fs::write(&cut, &whole[..whole.len() * part / 40]).unwrap();
        let error = bundle::verify(&cut).unwrap_err();
        assert!(matches!(error, Error::BadBundle { .. } | Error::DamagedBundle { .. }), "{part}: {error}");
    }
    fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    let error = bundle::verify(&cut).unwrap_err();
    assert!(matches!(error, Error::DamagedBundle { .. }), "{error}");
}

#[test]
fn a_flipped_bit_is_found_out_and_nothing_wrong_is_extracted() {
    let bed = bed(&[vec![7; 100], b"second".to_vec()]);
    let whole = fs::read(bed.bundle()).unwrap();
    let path = bed.path("flipped.bundle");
    let (mut tried, mut found) = (0, 0);
    for place in (0..whole.len()).step_by(5) {
        tried += 1;
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let store = Store::at(bed.path("other"));
        found += usize::from(bundle::extract(&path, &store).is_err());
        for entry in fs::read_dir(bed.path("other/sha256")).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            assert_eq!(sha256(&fs::read(entry.path()).unwrap()), name, "byte {place}");
        }
        fs::remove_dir_all(bed.path("other")).ok();
    }
    // zstd may ignore a bit of its header; whatever passes must be right, which the loop has looked at.
    assert!(tried > 50 && found >= tried - 2, "{found} of {tried}");
}

/// A bundle by hand: the lock, and then entries as a forger would write them.
fn forge(bed: &Bed, entries: &[(&str, &[u8])]) -> PathBuf {
    let path = bed.path("forged.bundle");
    let mut archive = tar::Builder::new(zstd::Encoder::new(fs::File::create(&path).unwrap(), 3).unwrap());
    let text = bed.lock.text().unwrap();
    for (name, content) in [("hoist.lock", text.as_bytes())].into_iter().chain(entries.iter().copied()) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        // Names that the library would not write.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        archive.append(&header, content).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap();
    path
}

#[test]
fn what_does_not_belong_there_is_refused_with_its_place() {
    let bed = bed(&[b"kubelet".to_vec()]);
    let blob = |content: &[u8]| format!("blobs/sha256/{}", sha256(content));
    let (good, chart, package) = (blob(b"kubelet"), blob(b"chart"), blob(b"package"));
    for (entries, expected) in [
        (vec![("../../etc/passwd", &b"evil"[..])], "entry ../../etc/passwd: nothing in the lock asks for it"),
        (vec![("/etc/passwd", b"evil")], "entry /etc/passwd: nothing in the lock asks for it"),
        (vec![("blobs/sha256/../../evil", b"evil")], "nothing in the lock asks for it"),
        (vec![(good.as_str(), b"kubelex")], "its digest is "),
        (vec![(good.as_str(), b"short")], "it is 5 bytes long, expected 7"),
        (vec![(good.as_str(), b"kubelet"), (good.as_str(), b"kubelet")], "it is there twice"),
        (vec![(good.as_str(), b"kubelet")], "it ends without entry blobs/sha256/"),
        (vec![], "it ends without entry"),
        // A chart and a package in the place of each other, and one that was replaced.
        (vec![(chart.as_str(), b"package")], "it is 7 bytes long, expected 5"),
        (vec![(package.as_str(), b"packagf")], "its digest is "),
    ] {
        let path = forge(&bed, &entries);
        let store = Store::at(bed.path("fresh"));
        for error in [bundle::verify(&path).unwrap_err(), bundle::extract(&path, &store).unwrap_err()] {
            let Error::DamagedBundle { reason, .. } = &error else { panic!("{error}") };
            assert!(reason.contains(expected), "{reason}, expected {expected}");
        }
    }
    assert!(!bed.path("evil").exists() && !bed.path("fresh/evil").exists());
}

#[test]
fn a_link_is_refused() {
    let bed = bed(&[b"kubelet".to_vec()]);
    let path = bed.path("link.bundle");
    let mut archive = tar::Builder::new(zstd::Encoder::new(fs::File::create(&path).unwrap(), 3).unwrap());
    let text = bed.lock.text().unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    archive.append_data(&mut header, "hoist.lock", text.as_bytes()).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, format!("blobs/sha256/{}", sha256(b"kubelet")), "/etc/passwd").unwrap();
    archive.into_inner().unwrap().finish().unwrap();
    let error = bundle::verify(&path).unwrap_err().to_string();
    assert!(error.contains("is not a regular file"), "{error}");
}

#[test]
fn what_is_no_bundle_is_said_to_be_none() {
    let bed = bed(&[b"kubelet".to_vec()]);
    let path = bed.path("x");
    let zstd = |content: &[u8]| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    for content in [b"".to_vec(), b"PK\x03\x04".to_vec(), zstd(b""), zstd(&[0; 1024]), zstd(b"no archive")] {
        fs::write(&path, content).unwrap();
        assert!(matches!(bundle::lock(&path), Err(Error::BadBundle { .. })));
    }
    assert!(matches!(bundle::lock(Path::new("/nowhere")), Err(Error::Unreadable { .. })));
}

#[test]
fn a_store_that_lacks_something_makes_no_bundle() {
    let bed = bed(&[b"kubelet".to_vec()]);
    fs::remove_file(bed.store.path(&sha256(b"kubelet"))).unwrap();
    let path = bed.path("office.bundle");
    assert!(bundle::create(&path, &bed.lock, &bed.store).is_err());
    assert!(!path.exists());
}

#[test]
fn the_archive_is_plain_tar_in_zstd() {
    let bed = bed(&[b"kubelet".to_vec()]);
    let mut archive = tar::Archive::new(zstd::Decoder::new(fs::File::open(bed.bundle()).unwrap()).unwrap());
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        assert_eq!((entry.header().mtime().unwrap(), entry.header().uid().unwrap()), (0, 0));
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        names.push(entry.path().unwrap().to_str().unwrap().to_owned());
    }
    assert_eq!(names[0], "hoist.lock");
    assert_eq!(names.len(), 7, "lock, manifest, its two blobs, a file, a chart, a package: {names:?}");
    assert!(names[2..].is_sorted());
}

#[test]
fn charts_and_packages_are_laid_out_as_they_were_pinned() {
    let bed = bed(&[b"kubelet".to_vec()]);
    let store = Store::at(bed.path("elsewhere"));
    bundle::extract(&bed.bundle(), &store).unwrap();
    let home = bed.path("artifacts");
    assert!(artifact::stage(&store, &bed.lock, &home).unwrap());
    let index = Index::load(&home, "1.36.5").unwrap();
    assert_eq!(fs::read(&index.charts[0].path).unwrap(), b"chart");
    let artifact::System { os, needs, files } = &index.packages[0];
    assert_eq!((os.as_str(), needs["socat"].as_slice()), ("debian-12", &["socat".to_owned()][..]));
    assert_eq!(fs::read(&files[0].path).unwrap(), b"package");
    assert_eq!(files[0].path.extension().unwrap(), "deb");
    // A file that is cut is found out before anything is installed from it.
    fs::remove_file(&files[0].path).unwrap();
    fs::write(&files[0].path, b"pack").unwrap();
    assert!(matches!(Index::load(&home, "1.36.5"), Err(Error::Damaged { expected: 7, found: 4, .. })));
}

#[test]
fn two_that_write_one_bundle_do_not_mix_it_up() {
    let bed = bed(&[vec![7; 100_000]]);
    let path = bed.path("office.bundle");
    let other = fs::File::create(bed.path("office.bundle.partial")).unwrap();
    other.lock().unwrap();
    let error = bundle::create(&path, &bed.lock, &bed.store).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    drop(other);
    bundle::create(&path, &bed.lock, &bed.store).unwrap();
    bundle::verify(&path).unwrap();

    // Many that lay out one folder: it is made once, and is whole.
    let home = bed.path("artifacts");
    let made: usize = std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..4).map(|_| scope.spawn(|| artifact::stage(&bed.store, &bed.lock, &home).unwrap())).collect();
        all.into_iter().map(|one| usize::from(one.join().unwrap())).sum()
    });
    assert_eq!(made, 1);
    Index::load(&home, "1.36.5").unwrap();
}
