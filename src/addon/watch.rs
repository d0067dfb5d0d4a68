//! Why pods did not get ready, kept beyond their end.

use std::sync::{Mutex, PoisonError};

/// What was last seen of pods that are not ready.
#[derive(Default)]
pub(super) struct Watch(Mutex<Vec<String>>);

impl Watch {
    /// Keeps what is seen, and says whether it is news. That all are ready is kept as what was before: when Helm rolls
    /// back, the pods that it failed of are gone.
    pub(super) fn see(&self, reasons: &[String]) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = !reasons.is_empty() && *last != reasons;
        if news {
            reasons.clone_into(&mut last);
        }
        news
    }

    /// Why pods were not ready, when any were not.
    pub(super) fn last(&self) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!last.is_empty()).then(|| format!("pods did not get ready: {}", last.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reason_outlives_the_pods_and_is_news_once() {
        let watch = Watch::default();
        assert_eq!(watch.last(), None);
        let reasons = [String::from("web-1: ErrImagePull")];
        assert!(watch.see(&reasons) && !watch.see(&reasons) && !watch.see(&[]));
        assert_eq!(watch.last().as_deref(), Some("pods did not get ready: web-1: ErrImagePull"));
    }
}
