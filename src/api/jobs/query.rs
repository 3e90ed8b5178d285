//! The parameters of the listings.

use url::form_urlencoded;

use super::dates::{self, Bound};
use super::view::kind_of;
use crate::api::problem::Problem;
use crate::model::{RecordKind, TimeZone, Timestamp};

/// How many items a page has if it is not said, and at most.
const PAGE: (usize, usize) = (100, 1_000);
/// The longest text that is searched for, in bytes.
const TEXT_MAX: usize = 256;

/// The pairs of a query, in their order. What is not known is left alone, as in the service whose clients these are.
pub(super) struct Parameters(Vec<(String, String)>);

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) skip: usize,
    pub(super) limit: usize,
}

impl Parameters {
    pub(super) fn read(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The last value given; an empty one is none.
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// `startAt` and `maxResults`.
    pub(super) fn page(&self) -> Result<Page, Problem> {
        let skip = self.number("startAt", 0, 0, usize::MAX, "a whole number of at least 0")?;
        let expected = format!("a whole number from 1 to {}", PAGE.1);
        let limit = self.number("maxResults", PAGE.0, 1, PAGE.1, &expected)?;
        Ok(Page { skip, limit })
    }

    fn number(&self, name: &str, default: usize, min: usize, max: usize, expected: &str) -> Result<usize, Problem> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = text.parse::<usize>().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| Problem::parameter(name, text, expected))
    }

    /// `query`, in small letters.
    pub(super) fn text(&self) -> Result<Option<String>, Problem> {
        match self.get("query") {
            Some(text) if text.len() > TEXT_MAX => {
                Err(Problem::parameter("query", text, format!("a text of at most {TEXT_MAX} bytes")))
            }
            text => Ok(text.map(str::to_lowercase)),
        }
    }

    /// `fromDate` and `toDate`.
    pub(super) fn dates(&self, zone: TimeZone) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
        let date = |name, bound| {
            let Some(text) = self.get(name) else { return Ok(None) };
            let read = dates::read(text, zone, bound);
            read.map(Some).ok_or_else(|| Problem::parameter(name, text, dates::EXPECTED))
        };
        Ok((date("fromDate", Bound::From)?, date("toDate", Bound::To)?))
    }

    /// `status`: one, several separated by commas, or given several times.
    pub(super) fn kinds(&self) -> Result<Vec<RecordKind>, Problem> {
        let words = self.0.iter().filter(|(key, _)| key == "status").flat_map(|(_, value)| value.split(','));
        let known = |word: &str| {
            let expected = "one of IN_PROGRESS, SUCCEEDED, FAILED";
            kind_of(word.trim()).ok_or_else(|| Problem::parameter("status", word, expected))
        };
        words.filter(|word| !word.trim().is_empty()).map(known).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_has_its_default() {
        let parameters = Parameters::read("query=&other=1&startAt=");

        assert_eq!(parameters.page().unwrap(), Page { skip: 0, limit: 100 });
        assert_eq!(parameters.text().unwrap(), None);
        assert_eq!(parameters.dates(TimeZone::UTC).unwrap(), (None, None));
        assert!(parameters.kinds().unwrap().is_empty());
    }

    #[test]
    fn values_are_read() {
        let query = "startAt=5&maxResults=7&query=Back%20Up&fromDate=20260101&toDate=20260101&status=FAILED,SUCCEEDED";
        let parameters = Parameters::read(query);

        assert_eq!(parameters.page().unwrap(), Page { skip: 5, limit: 7 });
        assert_eq!(parameters.text().unwrap().as_deref(), Some("back up"));
        let (from, to) = parameters.dates(TimeZone::UTC).unwrap();
        assert_eq!(to.unwrap().since(from.unwrap()).as_millis(), 86_399_999);
        assert_eq!(parameters.kinds().unwrap(), [RecordKind::Error, RecordKind::Success]);
    }

    #[test]
    fn a_wrong_value_is_told_with_its_name_and_what_was_expected() {
        let told = |query: &str| {
            let parameters = Parameters::read(query);
            let problem =
                parameters.page().err().or(parameters.dates(TimeZone::UTC).err()).or(parameters.kinds().err());
            problem.unwrap().detail().to_owned()
        };

        assert_eq!(told("startAt=-1"), "startAt: is `-1`, expected a whole number of at least 0");
        assert_eq!(told("maxResults=0"), "maxResults: is `0`, expected a whole number from 1 to 1000");
        assert_eq!(told("fromDate=x"), format!("fromDate: is `x`, expected {}", dates::EXPECTED));
        assert_eq!(told("status=failed"), "status: is `failed`, expected one of IN_PROGRESS, SUCCEEDED, FAILED");
    }
}
