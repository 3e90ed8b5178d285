use super::Fields;
use crate::model::{TimeZone, Timestamp};
pub(super) fn remarks(_f: &Fields, _z: TimeZone, _a: Timestamp, _b: Timestamp) -> Vec<String> { Vec::new() }
