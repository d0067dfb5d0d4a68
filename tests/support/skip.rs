//! Tests of what not every machine can do.

/// Says why a test does not run here. Where every test must run (`CI=true`) that is a failure.
#[track_caller]
pub fn skip(reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot be tested here: {reason}");
    eprintln!("skipped: {reason}");
}
