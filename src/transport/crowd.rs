//! Many hosts at the same time.

use std::sync::Arc;

use futures::stream::FuturesOrdered;
use tokio::sync::Semaphore;

/// Works on so many at the same time, and gives the answers in the order of the work. One that hangs holds up no other:
/// what is done behind it makes room for more, and only its answer waits.
pub fn in_order<F: Future>(
    work: impl IntoIterator<Item = F>,
    at_once: usize,
) -> FuturesOrdered<impl Future<Output = F::Output>> {
    let turns = Arc::new(Semaphore::new(at_once));
    let in_turn = |one: F| {
        let turns = turns.clone();
        async move {
            // Never closed, so a turn always comes.
            let _turn = turns.acquire().await;
            one.await
        }
    };
    work.into_iter().map(in_turn).collect()
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use futures::StreamExt as _;
    use tokio::{sync::Notify, task::yield_now, time::timeout};

    use super::*;

    #[tokio::test]
    async fn one_that_hangs_holds_up_no_other() {
        let (last, working, most) = (Notify::new(), Cell::new(0), Cell::new(0));
        let work = (0..5).map(|index| {
            let (last, working, most) = (&last, &working, &most);
            async move {
                working.set(working.get() + 1);
                most.set(most.get().max(working.get()));
                match index {
                    // Until all the others have been worked on.
                    0 => last.notified().await,
                    4 => last.notify_one(),
                    _ => yield_now().await,
                }
                working.set(working.get() - 1);
                index
            }
        });
        let answers = timeout(Duration::from_secs(10), in_order(work, 2).collect::<Vec<_>>()).await;
        assert_eq!(answers.unwrap(), [0, 1, 2, 3, 4], "in their order");
        assert_eq!(most.get(), 2, "never more than two at the same time");
    }
}
