//! The time from which on sshd takes a key no more (`parse_absolute_time` in OpenSSH).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time as fourteen digits: year, month, day, hour, minute, second.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(super) struct Moment(u64);

impl Moment {
    /// What the clock says. Without a zone sshd means local time, which is UTC on an installer.
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::after(since.unwrap_or_default())
    }

    fn after(since: Duration) -> Self {
        let (mut days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let mut year = 1970;
        while days >= days_of(year) {
            days = days.saturating_sub(days_of(year));
            year = year.saturating_add(1);
        }
        let mut month = 1;
        while days >= days_in(year, month) {
            days = days.saturating_sub(days_in(year, month));
            month = month.saturating_add(1);
        }
        let day = days.saturating_add(1);
        let parts = [year, month, day, second / 3600, second / 60 % 60, second % 60];
        Self::from_parts(parts)
    }

    fn from_parts(parts: [u64; 6]) -> Self {
        let [year, rest @ ..] = parts;
        Self(rest.iter().fold(year, |sum, part| sum.saturating_mul(100).saturating_add(*part)))
    }

    /// Reads `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, with `Z` or `UTC` behind it or not.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // sshd heeds no case here (OpenSSH `misc.c`, `parse_absolute_time`).
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let zone = text.strip_prefix(digits)?;
        if !["", "z", "utc"].contains(&zone.to_ascii_lowercase().as_str()) {
            return None;
        }
        let known = matches!(digits.len(), 8 | 12 | 14);
        if !known || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let number = |at: usize, len: usize| -> Option<u64> {
            let end = at.saturating_add(len);
            digits.get(at..end).map_or(Some(0), |part| part.parse().ok())
        };
        let (year, month, day) = (number(0, 4)?, number(4, 2)?, number(6, 2)?);
        let (hour, minute, second) = (number(8, 2)?, number(10, 2)?, number(12, 2)?);
        let real = (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && (hour, minute, second) <= (23, 59, 60);
        real.then(|| Self::from_parts([year, month, day, hour, minute, second]))
    }

    /// The day, as `2020-01-31`.
    pub(super) fn day(self) -> String {
        let day = self.0 / 1_000_000;
        format!("{:04}-{:02}-{:02}", day / 10_000, day / 100 % 100, day % 100)
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_of(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_sshd_reads_them() {
        for (text, found) in [
            ("20200101", Some(20_200_101_000_000)),
            ("20240229Z", Some(20_240_229_000_000)),
            ("202612312359", Some(20_261_231_235_900)),
            ("20261231235958Z", Some(20_261_231_235_958)),
            ("20240229UTC", Some(20_240_229_000_000)),
            ("20230229", None),
            ("20201301", None),
            ("2020-01-01", None),
            ("+52w", None),
            ("", None),
        ] {
            assert_eq!(Moment::parse(text), found.map(Moment), "{text}");
        }
    }

    #[test]
    fn the_clock_counts_days_as_calendars_do() {
        for (seconds, found) in [
            (0, 19_700_101_000_000),
            (951_782_400, 20_000_229_000_000),
            (1_795_868_409, 20_261_128_122_009),
        ] {
            assert_eq!(Moment::after(Duration::from_secs(seconds)), Moment(found), "{seconds}");
        }
    }

    #[test]
    fn a_day_is_shown_as_people_write_it() {
        assert_eq!(Moment::parse("202001310500").unwrap().day(), "2020-01-31");
    }
}
