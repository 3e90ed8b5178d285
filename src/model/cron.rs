//! Cron expressions.
use super::{TimeZone, Timestamp};
/// Stand-in until the branch arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct CronExpr;
/// x
#[derive(Clone, Copy, Debug)]
pub struct Ticks<'a>(std::marker::PhantomData<&'a ()>);
/// x
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("x")]
pub struct CronError;
impl CronExpr {
    /// x
    pub fn parse(_text: &str) -> Result<Self, CronError> { Ok(Self) }
    /// x
    pub fn zone(&self) -> Option<TimeZone> { None }
    /// x
    pub fn ticks(&self, _zone: TimeZone, _anchor: Timestamp) -> Ticks<'_> { Ticks(std::marker::PhantomData) }
}
impl Ticks<'_> {
    /// x
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> { Some(Timestamp::from_secs(after.secs() + 1)) }
    /// x
    pub fn latest(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> { (after.secs() < until.secs()).then(|| until.floor_to_second()) }
    /// x
    pub fn count(&self, after: Timestamp, until: Timestamp) -> u64 { u64::try_from(until.secs() - after.secs()).unwrap_or(0) }
}
