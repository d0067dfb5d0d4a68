//! That somebody wants the program to end. A turn that runs is finished: nothing is left half done.

use std::time::Duration;

use tokio::sync::watch;

use crate::burst::controller::Clock;

/// Asked by a signal, or by a test.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Whoever has the other end asks by sending `true`.
    pub fn new() -> (watch::Sender<bool>, Stop) {
        let (sender, receiver) = watch::channel(false);
        (sender, Stop(receiver))
    }

    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked.
    pub async fn asked(&mut self) {
        // Whoever could ask is gone: nobody will.
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Lets time pass, until then or until it is asked.
    pub async fn wait(&mut self, clock: &dyn Clock, duration: Duration) {
        tokio::select! {
            () = clock.sleep(duration) => {}
            () = self.asked() => {}
        }
    }
}
