//! Bundles: one file with everything that a lock pins, for sites without internet.
//!
//! A bundle is a tar archive in zstd. Its first entry is the lock; then come the manifests of the images, and then
//! everything else, each under `blobs/sha256/` by its digest and in the order of these names. So a reader knows of
//! each entry whether it belongs there, and how large it is, before it reads it. The same lock gives the same bytes.

mod create;
mod read;

pub use create::create;
pub use read::{Checked, extract, lock, verify};

use crate::artifact::lock::NAME;

const BLOBS: &str = "blobs/sha256/";

fn blob(sha256: &str) -> String {
    format!("{BLOBS}{sha256}")
}
