//! One file over HTTP, with everything that can go wrong on the way.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
};

use hoist::artifact::{self, Architecture, Error, Event, Lock, Source, catalogue::Place, lock};
use tempfile::TempDir;

use super::{
    server::{Fault, Server},
    sha256, source,
};

const URL: &str = "https://dl.k8s.io/kubelet";
const PATH: &str = "/dl.k8s.io/kubelet";

fn content() -> Vec<u8> {
    (0..200_000u32).flat_map(|number| number.to_le_bytes()).collect()
}

struct Bed {
    folder: TempDir,
    server: Server,
    source: Source,
}

fn bed() -> Bed {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    server.put(PATH, content());
    let source = source(folder.path(), &server.url(), None);
    Bed { folder, server, source }
}

/// Downloads with a known digest, and returns what was asked of the server.
async fn download(bed: &Bed) -> Result<Vec<String>, Error> {
    let found = bed.source.learn(URL, Some(&sha256(&content()))).await?;
    assert_eq!(found, (sha256(&content()), content().len() as u64));
    Ok(bed.server.log())
}

#[tokio::test]
async fn a_file_is_downloaded_once_and_kept_by_its_digest() {
    let bed = bed();
    assert_eq!(download(&bed).await.unwrap(), [format!("GET {PATH}")]);
    let kept = bed.source.store.find(&sha256(&content())).unwrap().unwrap();
    assert_eq!(fs::read(kept).unwrap(), content());
    assert_eq!(partials(bed.folder.path()), 0);
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_stopped() {
    let bed = bed();
    bed.server.faults(PATH, [Fault::Cut(100_000), Fault::Cut(50_000)]);
    let log = download(&bed).await.unwrap();
    assert_eq!(log.len(), 3, "{log:?}");
    // How much of what was sent before the cut arrives is the network's affair.
    assert!(log[1].contains(" from ") && log[2].contains(" from "), "{log:?}");
}

#[tokio::test]
async fn a_server_without_ranges_is_asked_for_everything_again() {
    let bed = bed();
    bed.server.faults(PATH, [Fault::Cut(100_000), Fault::Whole]);
    assert_eq!(download(&bed).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_stands_still_is_cut_and_tried_again() {
    let bed = bed();
    bed.server.faults(PATH, [Fault::Stall(100_000)]);
    assert_eq!(download(&bed).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_a_missing_file_is_not() {
    let bed = bed();
    bed.server.faults(PATH, [503, 429, 500].map(Fault::Status));
    assert_eq!(download(&bed).await.unwrap().len(), 4);
    for status in [404, 403] {
        bed.server.faults(PATH, [Fault::Status(status)]);
        let error = bed.source.learn(URL, Some("00")).await.unwrap_err();
        assert!(matches!(error, Error::Refused { status: found, .. } if found == status), "{error}");
        assert_eq!(bed.server.log().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn after_some_tries_it_gives_up_and_the_next_run_goes_on() {
    let bed = bed();
    bed.server.faults(PATH, (0..4).map(|_| Fault::Cut(10_000)));
    let error = download(&bed).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. } | Error::Short { .. }), "{error:?}");
    assert_eq!(bed.server.log().len(), 4);
    let log = download(&bed).await.unwrap();
    assert!(log.len() == 1 && log[0].contains(" from "), "{log:?}");
}

#[tokio::test]
async fn a_redirect_is_followed() {
    let bed = bed();
    bed.server.put("/elsewhere", content());
    bed.server.faults(PATH, [Fault::Redirect(format!("{}/elsewhere", bed.server.url()))]);
    assert_eq!(download(&bed).await.unwrap(), [format!("GET {PATH}"), "GET /elsewhere".into()]);
}

#[tokio::test]
async fn a_redirect_without_end_is_left() {
    let bed = bed();
    bed.server.faults(PATH, (0..100).map(|_| Fault::Redirect(format!("{}{PATH}", bed.server.url()))));
    assert!(matches!(download(&bed).await.unwrap_err(), Error::Redirected { .. }));
    assert_eq!(bed.server.log().len(), 11, "it is not tried again");
}

#[tokio::test]
async fn an_answer_without_a_length_is_taken() {
    let bed = bed();
    bed.server.faults(PATH, [Fault::NoLength, Fault::NoLength]);
    download(&bed).await.unwrap();
}

#[tokio::test]
async fn a_size_is_asked_for_and_not_insisted_on() {
    let bed = bed();
    assert_eq!(bed.source.size(URL).await.unwrap(), Some(content().len() as u64));
    bed.server.faults(PATH, [Fault::Status(405)]);
    assert_eq!(bed.source.size(URL).await.unwrap(), None);
    assert_eq!(bed.server.log(), [format!("HEAD {PATH}"), format!("HEAD {PATH}")]);
}

#[tokio::test]
async fn a_wrong_digest_leaves_nothing_behind() {
    let bed = bed();
    let error = bed.source.learn(URL, Some(&sha256(b"other"))).await.unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    assert_eq!(bed.source.store.find(&sha256(&content())).unwrap(), None);
    assert_eq!(partials(bed.folder.path()), 0);
}

/// A lock of the one file.
fn lock() -> Lock {
    let file = lock::File {
        name: "kubelet".into(),
        version: "1".into(),
        architecture: Architecture::Amd64,
        place: Place::Host,
        url: URL.into(),
        sha256: sha256(&content()),
        size: content().len() as u64,
        member: None,
    };
    let architectures = vec![Architecture::Amd64];
    let images = Vec::new();
    let (charts, packages) = (Vec::new(), Vec::new());
    Lock { kubernetes: "1.36.5".into(), architectures, files: vec![file], images, charts, packages }
}

#[tokio::test]
async fn what_an_earlier_run_left_wrong_is_downloaded_again() {
    for left in [100, content().len() - 1, content().len(), content().len() + 1] {
        let bed = bed();
        let partial = bed.folder.path().join("store/partial");
        fs::create_dir_all(&partial).unwrap();
        fs::write(partial.join(sha256(&content())), vec![b'x'; left]).unwrap();
        let grown = AtomicI64::new(0);
        let count = |event: Event<'_>| {
            if let Event::Grown(bytes) = event {
                grown.fetch_add(bytes, Ordering::Relaxed);
            }
        };
        artifact::fetch(&bed.source, &lock(), &count).await.unwrap();
        let kept = bed.source.store.find(&sha256(&content())).unwrap().unwrap();
        assert_eq!(fs::read(kept).unwrap(), content());
        assert_eq!(grown.load(Ordering::Relaxed), content().len() as i64, "{left}");
    }
}

#[tokio::test]
async fn a_file_that_another_process_downloads_is_left_to_it() {
    let bed = bed();
    let held = bed.source.store.partial(&sha256(&content())).unwrap();
    let error = artifact::fetch(&bed.source, &lock(), &|_| ()).await.unwrap_err();
    assert_eq!(error.exit(), hoist::exit::Exit::Temporary, "{error}");
    drop(held);
    artifact::fetch(&bed.source, &lock(), &|_| ()).await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address_and_without_a_stack_of_words() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let source = source(folder.path(), &format!("http://127.0.0.1:{port}"), None);
    let error = source.learn(URL, None).await.unwrap_err();
    assert_eq!(error.to_string(), format!("failed to download http://127.0.0.1:{port}{PATH}"));
    assert_eq!(error.exit(), hoist::exit::Exit::Unavailable);
}

#[tokio::test]
async fn published_digests_are_read_from_a_mirror_and_from_a_folder() {
    let bed = bed();
    let (sums, file) = ("https://dl.k8s.io/SHA256SUMS", format!("{}  kubelet\n", "ab".repeat(32)));
    bed.server.mirror(sums, file.clone());
    assert_eq!(bed.source.published(sums, URL).await.unwrap(), "ab".repeat(32));
    bed.server.mirror(sums, "nothing of the kind");
    assert!(matches!(bed.source.published(sums, URL).await, Err(Error::NoChecksum { .. })));
    bed.server.mirror(sums, vec![b'a'; 5 << 20]);
    assert!(matches!(bed.source.published(sums, URL).await, Err(Error::TooLarge { .. })));

    let folder = bed.folder.path().join("dl.k8s.io");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("SHA256SUMS"), file).unwrap();
    let source = source(bed.folder.path(), bed.folder.path().to_str().unwrap(), None);
    assert_eq!(source.published(sums, URL).await.unwrap(), "ab".repeat(32));
}

/// Beginnings of files in a source's cache.
fn partials(folder: &Path) -> usize {
    fs::read_dir(folder.join("store/partial")).unwrap().count()
}
