//! A calendar day in UTC, as operators write it and as HTTP headers say it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::format_description::well_known::{Iso8601, Rfc2822};
use time::{Date, Month, OffsetDateTime, Time};

/// `2027-03-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

impl Day {
    /// A day that is known when the program is written.
    ///
    /// # Panics
    /// When there is no such day.
    pub fn of(year: i32, month: u8, day: u8) -> Self {
        let month = Month::try_from(month).expect("callers write months from 1 to 12");
        Self(Date::from_calendar_date(year, month, day).expect("callers write days that exist"))
    }

    /// Its first second since the Unix epoch.
    pub fn start(self) -> u64 {
        u64::try_from(self.midnight().unix_timestamp()).unwrap_or(0)
    }

    /// An HTTP date (RFC 9110 section 5.6.7), for `Sunset`.
    pub fn http_date(self) -> String {
        let text = self.midnight().format(&Rfc2822).unwrap_or_default();
        text.replace("+0000", "GMT")
    }

    fn midnight(self) -> OffsetDateTime {
        OffsetDateTime::new_utc(self.0, Time::MIDNIGHT)
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Date::parse(text, &Iso8601::DATE)
            .map(Self)
            .map_err(|_| format!("{text:?} is not a day; write it like 2027-03-31"))
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        write!(out, "{year:04}-{:02}-{day:02}", u8::from(month))
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_reads_and_prints_the_same() {
        let day: Day = "2027-03-31".parse().unwrap();
        assert_eq!(day, Day::of(2027, 3, 31));
        assert_eq!(day.to_string(), "2027-03-31");
        assert_eq!(day.start(), 1_806_451_200);
        assert!("2027-02-30".parse::<Day>().is_err());
        assert!("soon".parse::<Day>().is_err());
    }

    #[test]
    fn the_header_form_is_that_of_http() {
        assert_eq!(Day::of(2027, 3, 31).http_date(), "Wed, 31 Mar 2027 00:00:00 GMT");
    }
}
