//! The thread that writes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::folder::unavailable;
use super::operation::{Answer, Operation, Reply};
use crate::store::StoreError;

/// How many requests may wait. Further ones wait for a place.
const REQUESTS_WAITING_MAX: usize = 4_096;
/// How many short requests share one transaction.
const SHARED_MAX: usize = 1_024;

/// How many pieces of results, which are long ones, share one transaction: each is too small for an fsync of its own.
const PIECES_SHARED_MAX: usize = 16;

/// Sends requests to the writer. The last clone dropped ends the thread once all requests are carried out.
#[derive(Clone)]
pub(super) struct Writer {
    requests: mpsc::Sender<Operation>,
    /// How often it has committed.
    pub(super) commits: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn start(database: Connection) -> Result<Self, StoreError> {
        let (requests, inbox) = mpsc::channel(REQUESTS_WAITING_MAX);
        let commits = Arc::new(AtomicU64::new(0));
        let thread = WriterThread { database, inbox, bulk: VecDeque::new(), commits: commits.clone() };
        let spawned = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || thread.run());
        spawned.map_err(|error| unavailable("starting the writer", error))?;
        Ok(Self { requests, commits })
    }

    pub(super) async fn carry_out<T>(&self, make: impl FnOnce(Answer<T>) -> Operation) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || unavailable("writing", "the writer has stopped");
        self.requests.send(make(answer)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

struct WriterThread {
    database: Connection,
    inbox: mpsc::Receiver<Operation>,
    /// Long requests that came while short ones were collected; each goes with a transaction of its own turn.
    bulk: VecDeque<Operation>,
    commits: Arc<AtomicU64>,
}

impl WriterThread {
    fn run(mut self) {
        while let Some(batch) = self.next_batch() {
            let is_last = batch.iter().any(|operation| matches!(operation, Operation::Close(_)));
            if is_last {
                self.inbox.close();
            }
            self.write(batch);
        }
    }

    /// What waits: all short requests and one long one, or some pieces of results.
    fn next_batch(&mut self) -> Option<Vec<Operation>> {
        let mut batch = Vec::new();
        // After a close the channel still gives what was sent before.
        if self.bulk.is_empty() {
            let first = self.inbox.blocking_recv()?;
            self.sort(first, &mut batch);
        }
        while batch.len() < SHARED_MAX
            && let Ok(operation) = self.inbox.try_recv()
        {
            self.sort(operation, &mut batch);
        }
        batch.extend(self.bulk.pop_front());
        if batch.last().is_some_and(Operation::is_piece) {
            let pieces = self.bulk.iter().take(PIECES_SHARED_MAX - 1).take_while(|next| next.is_piece()).count();
            batch.extend(self.bulk.drain(..pieces));
        }
        Some(batch)
    }

    fn sort(&mut self, operation: Operation, batch: &mut Vec<Operation>) {
        if operation.is_bulk() {
            self.bulk.push_back(operation);
        } else {
            batch.push(operation);
        }
    }

    /// Carries a batch out in one transaction. The answers are given after the commit, never before.
    fn write(&self, batch: Vec<Operation>) {
        let begun = self.database.execute_batch("BEGIN IMMEDIATE");
        if let Err(error) = begun {
            // Nothing can be written: carried out outside of a transaction each request would be its own.
            return batch.into_iter().for_each(|operation| operation.refuse(&error.to_string()));
        }
        let replies: Vec<Reply> = batch.into_iter().map(|operation| operation.carry_out(&self.database)).collect();
        let committed = self.database.execute_batch("COMMIT");
        self.commits.fetch_add(1, Ordering::Relaxed);
        if committed.is_err() && !self.database.is_autocommit() {
            // A failed commit may leave the transaction open. Should this fail, too, the next BEGIN tells.
            let _ = self.database.execute_batch("ROLLBACK");
        }
        let failed = committed.err().map(|error| error.to_string());
        for reply in replies {
            reply(failed.clone().map(|text| unavailable("writing to the disk", text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pauses, RunId, Timestamp};

    #[test]
    fn what_is_short_does_not_wait_behind_pieces_of_results() {
        let (requests, inbox) = mpsc::channel(64);
        let database = Connection::open_in_memory().unwrap();
        let mut writer = WriterThread { database, inbox, bulk: VecDeque::new(), commits: Arc::default() };
        let (run, prune) =
            (RunId::asked(Timestamp::EPOCH), Operation::ForgetRevisions(Timestamp::EPOCH, oneshot::channel().0));
        let send = |operation: Operation| requests.try_send(operation).ok().unwrap();
        for number in 0..20 {
            send(Operation::PutPiece(run, number, vec![0].into(), oneshot::channel().0));
        }
        send(prune);
        send(Operation::SetPauses(Pauses::default(), oneshot::channel().0));

        let batches = [(); 3].map(|()| writer.next_batch().unwrap());

        let lens = batches.each_ref().map(|batch| {
            let pieces = batch.iter().filter(|operation| operation.is_piece()).count();
            (batch.first().is_some_and(|first| !first.is_bulk()), pieces, batch.len())
        });
        assert_eq!(lens, [(true, 16, 17), (false, 4, 4), (false, 0, 1)]);
    }
}
