//! Records that wait on the disk while the store is away: files that are only appended to, read from the front.
//!
//! A line is a checksum and a record. A file that a crash left with half a line loses that line, whose writing was never
//! confirmed. What was delivered before a crash is delivered again: records have names, so that does no harm.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::spill_line::{read_line, write_line};
use crate::model::Record;
use crate::store::FolderLock;
use log::{error, warn};

const SUFFIX: &str = "spill";
/// Files that hold a line that cannot be read are kept under this suffix.
const DAMAGED_SUFFIX: &str = "damaged";
/// A file is at most about this long: what is delivered is deleted file by file.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// How many bytes one batch read from the front holds at most; a single record may be larger.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// The files.
#[derive(Debug)]
pub struct Spill {
    folder: PathBuf,
    bytes_max: u64,
    /// Oldest first; the last one is written to.
    segments: VecDeque<Segment>,
    writing: Option<File>,
    /// Of the next segment. Never used twice: what was handed out names its segment.
    next_number: u64,
    /// How far the first segment was delivered.
    delivered: Position,
    /// What was read from the front last and may be on its way.
    handed_out: Option<(u64, Position)>,
    /// Held for as long as the files are used.
    _lock: FolderLock,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    records: u64,
    is_damaged: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    bytes: u64,
    records: u64,
}

/// Records read from the front, and where they end.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) records: Vec<Record>,
    segment: u64,
    end: Position,
}

impl Spill {
    /// Opens the files in a folder, which is made if there is none. Another process on it is refused.
    pub fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        let lock = FolderLock::take(folder).map_err(io::Error::other)?;
        let mut numbers: Vec<u64> = Vec::new();
        for file in fs::read_dir(folder)? {
            numbers.extend(number_of(&file?.path()));
        }
        numbers.sort_unstable();
        let segments: io::Result<VecDeque<Segment>> = numbers.iter().map(|&number| inspect(folder, number)).collect();
        Ok(Self {
            folder: folder.to_owned(),
            bytes_max,
            segments: segments?,
            writing: None,
            next_number: numbers.last().map_or(0, |last| last + 1),
            delivered: Position::default(),
            handed_out: None,
            _lock: lock,
        })
    }

    /// Whether no record waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many records wait.
    pub(super) fn len(&self) -> u64 {
        let all: u64 = self.segments.iter().map(|segment| segment.records).sum();
        all - self.delivered.records
    }

    /// The bytes of the files.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Appends records; they are on the disk when this returns. `false`: there is no room for them.
    pub(super) fn append(&mut self, records: &[Record]) -> io::Result<bool> {
        let mut lines = Vec::new();
        for record in records {
            write_line(&mut lines, record);
        }
        let len = lines.len() as u64;
        if self.bytes() + len > self.bytes_max {
            return Ok(false);
        }
        self.make_room_in_segment()?;
        let (Some(file), Some(segment)) = (&mut self.writing, self.segments.back_mut()) else { return Ok(false) };
        if let Err(error) = file.write_all(&lines).and_then(|()| file.sync_data()) {
            // What was written of it is taken back; if even that fails, nothing is read behind the end that is noted here.
            let cut = file.set_len(segment.bytes);
            self.writing = None;
            return Err(cut.err().unwrap_or(error));
        }
        segment.bytes += len;
        segment.records += records.len() as u64;
        Ok(true)
    }

    /// A segment that is written to and has room.
    fn make_room_in_segment(&mut self) -> io::Result<()> {
        let has_room = self.segments.back().is_some_and(|segment| segment.bytes < SEGMENT_BYTES);
        if self.writing.is_some() && has_room {
            return Ok(());
        }
        let number = self.next_number;
        // Whatever fails from here on: the next try begins another file.
        self.next_number += 1;
        let file = OpenOptions::new().write(true).create_new(true).open(path_of(&self.folder, number))?;
        // The name of the file must survive, too.
        File::open(&self.folder)?.sync_all()?;
        self.writing = Some(file);
        self.segments.push_back(Segment { number, bytes: 0, records: 0, is_damaged: false });
        Ok(())
    }

    /// Reads the oldest records, at most so many. `None`: there are none.
    pub(super) fn front(&mut self, max: usize) -> io::Result<Option<Front>> {
        loop {
            let Some(segment) = self.segments.front() else { return Ok(None) };
            let (number, is_over) = (segment.number, self.delivered.bytes >= segment.bytes);
            if is_over {
                self.remove_front()?;
                continue;
            }
            let mut file = BufReader::new(File::open(path_of(&self.folder, number))?);
            file.seek(SeekFrom::Start(self.delivered.bytes))?;
            let mut front = Front { records: Vec::new(), segment: number, end: self.delivered };
            let (mut line, mut bytes) = (Vec::new(), 0);
            while front.records.len() < max && bytes < BATCH_BYTES && front.end.bytes < segment.bytes {
                line.clear();
                let len = file.read_until(b'\n', &mut line)?;
                if len == 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a spill file has become shorter"));
                }
                bytes += len;
                front.end.bytes += len as u64;
                if let Some(record) = read_line(&line) {
                    front.end.records += 1;
                    front.records.push(record);
                }
            }
            self.handed_out = Some((number, front.end));
            return Ok(Some(front));
        }
    }

    /// Notes that the records of a front have been delivered.
    pub(super) fn note_delivered(&mut self, front: &Front) -> io::Result<()> {
        // Dropped meanwhile, because there was no room: then its segment is gone.
        if self.segments.front().is_some_and(|segment| segment.number == front.segment) {
            self.delivered = front.end;
            if self.segments.front().is_some_and(|segment| self.delivered.bytes >= segment.bytes) {
                self.remove_front()?;
            }
        }
        Ok(())
    }

    /// Drops the oldest segment and gives what was lost with it: neither delivered nor handed out.
    pub(super) fn drop_oldest(&mut self) -> io::Result<Vec<Record>> {
        let Some(number) = self.segments.front().map(|segment| segment.number) else { return Ok(Vec::new()) };
        if let Some((_, end)) = self.handed_out.filter(|(segment, _)| *segment == number) {
            self.delivered = end;
        }
        let mut dropped = Vec::new();
        while let Some(front) = self.front(usize::MAX)?.filter(|front| front.segment == number) {
            self.delivered = front.end;
            dropped.extend(front.records);
        }
        // What was read of the next segment to find the end of this one is on its way to nobody.
        self.handed_out = None;
        Ok(dropped)
    }

    fn remove_front(&mut self) -> io::Result<()> {
        let Some(segment) = self.segments.pop_front() else { return Ok(()) };
        self.delivered = Position::default();
        if self.segments.is_empty() {
            self.writing = None;
        }
        let path = path_of(&self.folder, segment.number);
        if segment.is_damaged { fs::rename(&path, path.with_extension(DAMAGED_SUFFIX)) } else { fs::remove_file(path) }
    }
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.{SUFFIX}"))
}

fn number_of(path: &Path) -> Option<u64> {
    let is_ours = path.extension().is_some_and(|extension| extension == SUFFIX);
    u64::from_str_radix(path.file_stem()?.to_str()?, 16).ok().filter(|_| is_ours)
}

/// Looks at every line of a file that an earlier process left, and cuts off half a line at its end.
fn inspect(folder: &Path, number: u64) -> io::Result<Segment> {
    let path = path_of(folder, number);
    let mut file = BufReader::new(File::open(&path)?);
    let mut segment = Segment { number, bytes: 0, records: 0, is_damaged: false };
    let mut line = Vec::new();
    loop {
        line.clear();
        let len = file.read_until(b'\n', &mut line)?;
        if len == 0 {
            return Ok(segment);
        }
        if !line.ends_with(b"\n") {
            warn!(file:% = path.display(), bytes = len; "a crash left half a record, its writing was never confirmed");
            OpenOptions::new().write(true).open(&path)?.set_len(segment.bytes)?;
            return Ok(segment);
        }
        if read_line(&line).is_some() {
            segment.records += 1;
        } else {
            error!(file:% = path.display(), at = segment.bytes; "a record cannot be read, the file is kept as damaged");
            segment.is_damaged = true;
        }
        segment.bytes += len as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::missed_record;
    use crate::model::{EntryName, Identity, Stretch, Timestamp};

    fn records(range: std::ops::Range<i64>) -> Vec<Record> {
        let (identity, entry) = (Identity::parse("t\n\u{0}é").unwrap(), EntryName::parse("e").unwrap());
        let record = |second| {
            let instant = Timestamp::from_secs(1_800_000_000 + second);
            missed_record(&identity, &entry, Stretch::one(instant), "a \"test\"\n", instant)
        };
        range.map(record).collect()
    }

    fn all(spill: &mut Spill) -> Vec<Record> {
        let mut all = Vec::new();
        while let Some(front) = spill.front(7).unwrap() {
            spill.note_delivered(&front).unwrap();
            all.extend(front.records);
        }
        all
    }

    #[test]
    fn records_come_back_in_order_also_after_a_crash_and_then_the_files_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();
        assert!(spill.append(&records(0..10)).unwrap() && spill.append(&records(10..25)).unwrap());
        let front = spill.front(7).unwrap().unwrap();
        spill.note_delivered(&front).unwrap();
        drop(spill);

        let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(spill.len(), 25, "what was delivered before is delivered again");
        assert!(spill.append(&records(25..30)).unwrap());

        assert_eq!(all(&mut spill), records(0..30));
        assert_eq!((spill.len(), spill.bytes()), (0, 0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the lock is left");
        assert!(spill.append(&records(0..1)).unwrap());
        assert_eq!(all(&mut spill), records(0..1));
    }

    #[test]
    fn half_a_line_at_the_end_is_cut_off_wherever_the_crash_came() {
        let folder = tempfile::tempdir().unwrap();
        Spill::open(folder.path(), 1 << 20).unwrap().append(&records(0..3)).unwrap();
        let path = path_of(folder.path(), 0);
        let whole = fs::read(&path).unwrap();
        let ends: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] == b'\n').map(|at| at + 1).collect();

        for len in 0..=whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();
            let complete = ends.iter().filter(|&&end| end <= len).count();
            assert_eq!(spill.len(), complete as u64, "cut at {len}");
            assert!(spill.append(&records(9..10)).unwrap());
            assert_eq!(all(&mut spill).last(), records(9..10).last());
        }
    }

    #[test]
    fn a_damaged_line_costs_only_itself_and_its_file_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        Spill::open(folder.path(), 1 << 20).unwrap().append(&records(0..3)).unwrap();
        let path = path_of(folder.path(), 0);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 40;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).unwrap();

        let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();

        assert_eq!(spill.len(), 2);
        assert_eq!(all(&mut spill), [records(0..1), records(2..3)].concat());
        assert_eq!(fs::read(path.with_extension(DAMAGED_SUFFIX)).unwrap(), bytes);
    }

    #[test]
    fn a_full_spill_takes_no_more_until_its_oldest_segment_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let one = {
            let mut lines = Vec::new();
            write_line(&mut lines, &records(0..1)[0]);
            lines.len() as u64
        };
        let mut spill = Spill::open(folder.path(), one * 10).unwrap();
        assert!(spill.append(&records(0..6)).unwrap());
        drop(spill);
        let mut spill = Spill::open(folder.path(), one * 10).unwrap();
        assert!(spill.append(&records(6..10)).unwrap());

        assert!(!spill.append(&records(10..11)).unwrap());
        let front = spill.front(2).unwrap().unwrap();
        assert_eq!(spill.drop_oldest().unwrap(), records(2..6), "what is on its way is not lost");
        spill.note_delivered(&front).unwrap();
        assert!(spill.append(&records(10..16)).unwrap());

        assert_eq!(all(&mut spill), records(6..16));
    }

    #[test]
    fn each_segment_that_is_dropped_is_counted_whole() {
        let folder = tempfile::tempdir().unwrap();
        for part in 0..3 {
            Spill::open(folder.path(), 1 << 20).unwrap().append(&records(part * 3..part * 3 + 3)).unwrap();
        }
        let mut spill = Spill::open(folder.path(), 1 << 20).unwrap();

        assert_eq!(spill.drop_oldest().unwrap(), records(0..3));
        assert_eq!(spill.drop_oldest().unwrap(), records(3..6));
        assert_eq!(all(&mut spill), records(6..9));
    }

    #[test]
    fn a_second_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _spill = Spill::open(folder.path(), 1 << 20).unwrap();

        let error = Spill::open(folder.path(), 1 << 20).unwrap_err().to_string();

        assert!(error.contains("is in use by process"), "{error}");
    }
}
