//! One value of a report, before anybody decides how it looks.

use super::look::Look;
use super::{Scope, Style};
use crate::domain::{Timestamp, Usd};
use chrono::NaiveDate;
use std::fmt;

/// One value of a report.
///
/// A cell holds the exact value; the renderers round, shorten or colour it. `None` becomes
/// [`Cell::Missing`] through `From<Option<T>>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Words: a pipeline, an agent, a model. Cut at the end when the table is narrow.
    Text(String),
    /// An id. Cut at the start when the table is narrow, because an ending of an id is enough to name it.
    Id(String),
    /// A number of things.
    Count(u64),
    /// A difference between two numbers of things.
    Change(i64),
    /// A number of tokens; shortened (`1.2M`) in tables where the exact numbers do not fit.
    Tokens(u64),
    /// An exact amount of dollars.
    Usd(Usd),
    /// A cost that is not known because there is no price. Never shown as 0.
    Unpriced,
    /// A part of a whole, both in the same unit.
    Share {
        /// The part; negative for a fall.
        part: i128,
        /// The whole; there is no share of 0.
        whole: i128,
    },
    /// An instant; tables show it in the report's time zone.
    Time(Timestamp),
    /// A local day.
    Day(NaiveDate),
    /// A duration in milliseconds.
    Millis(u64),
    /// Yes or no.
    Bool(bool),
    /// Several words.
    List(Vec<String>),
    /// Named words, such as a run's labels.
    Pairs(Vec<(String, String)>),
    /// What was spent from one stretch of time to the next; `None` where it is not known.
    Series(Vec<Option<Usd>>),
    /// Nothing is known.
    Missing,
    /// Nothing belongs here: the day of a total. Tables leave it empty, and totals in JSON leave it out.
    Blank,
}

/// What a column's cells are. It decides alignment, rounding and how a cell may be shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Cell::Text`], [`Cell::Bool`], [`Cell::List`] or [`Cell::Pairs`].
    Text,
    /// [`Cell::Id`].
    Id,
    /// [`Cell::Count`] or [`Cell::Change`].
    Count,
    /// [`Cell::Tokens`].
    Tokens,
    /// [`Cell::Usd`]. In tables the column's largest amount decides the decimals of all: 2 from one dollar
    /// up, 4 from a cent, 6 from a hundredth of a cent, then 8 and 12. What that would round to 0 is shown as
    /// less than the smallest step: `<$0.01`.
    Usd,
    /// [`Cell::Usd`], never rounded: prices and the arithmetic of a cost.
    UsdExact,
    /// [`Cell::Share`].
    Share,
    /// [`Cell::Time`].
    Time,
    /// [`Cell::Day`].
    Day,
    /// [`Cell::Millis`].
    Duration,
    /// [`Cell::Usd`], [`Cell::Count`] or [`Cell::Tokens`], drawn as a bar in terminal tables only.
    Bar,
    /// [`Cell::Series`], drawn as a line of small bars in tables and markdown: `▁▂█▃`. Each row has a scale of its own, for
    /// it shows when, and a bar shows how much. `▁` is nothing, `?` what is not known.
    Spark,
}

impl Kind {
    /// Whether a column of this kind may hold `cell`.
    #[must_use]
    pub fn accepts(self, cell: &Cell) -> bool {
        match cell {
            Cell::Missing | Cell::Blank => true,
            Cell::Text(_) | Cell::Bool(_) | Cell::List(_) | Cell::Pairs(_) => self == Self::Text,
            Cell::Id(_) => self == Self::Id,
            Cell::Count(_) => matches!(self, Self::Count | Self::Bar),
            Cell::Change(_) => self == Self::Count,
            Cell::Tokens(_) => matches!(self, Self::Tokens | Self::Bar),
            Cell::Usd(_) | Cell::Unpriced => matches!(self, Self::Usd | Self::UsdExact | Self::Bar),
            Cell::Share { .. } => self == Self::Share,
            Cell::Time(_) => self == Self::Time,
            Cell::Day(_) => self == Self::Day,
            Cell::Millis(_) => self == Self::Duration,
            Cell::Series(_) => self == Self::Spark,
        }
    }

    /// Whether the column's cells are numbers and so end at the same place.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Count | Self::Tokens | Self::Usd | Self::UsdExact | Self::Share | Self::Duration)
    }

    /// Whether the column's cells are drawings, which programs have no use for.
    pub(super) fn is_drawn(self) -> bool {
        matches!(self, Self::Bar | Self::Spark)
    }

    /// Whether the column's cells may be cut to fit.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Id)
    }
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// An id.
    pub fn id(id: impl fmt::Display) -> Self {
        Self::Id(id.to_string())
    }

    /// A cost, [`Cell::Unpriced`] when it is not known.
    #[must_use]
    pub fn cost(cost: Option<Usd>) -> Self {
        cost.map_or(Self::Unpriced, Self::Usd)
    }

    /// `part` of `whole` dollars.
    #[must_use]
    pub fn share_of_usd(part: Usd, whole: Usd) -> Self {
        Self::Share { part: part.pico(), whole: whole.pico() }
    }

    /// `part` of `whole` things.
    #[must_use]
    pub fn share_of_count(part: u64, whole: u64) -> Self {
        Self::Share { part: part.into(), whole: whole.into() }
    }

    /// The value as a sentence has it: rounded as where it stands alone, times in UTC.
    #[must_use]
    pub fn in_words(&self) -> String {
        Look::alone(self, &Scope::default(), Style::plain(0)).text(self)
    }

    /// The kind of a column that holds this cell, for fields that stand alone.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Id(_) => Kind::Id,
            Self::Count(_) | Self::Change(_) => Kind::Count,
            Self::Tokens(_) => Kind::Tokens,
            Self::Usd(_) | Self::Unpriced => Kind::Usd,
            Self::Share { .. } => Kind::Share,
            Self::Time(_) => Kind::Time,
            Self::Day(_) => Kind::Day,
            Self::Millis(_) => Kind::Duration,
            Self::Series(_) => Kind::Spark,
            Self::Text(_) | Self::Bool(_) | Self::List(_) | Self::Pairs(_) | Self::Missing | Self::Blank => {
                Kind::Text
            }
        }
    }

    /// The length a bar of this cell stands for.
    pub(super) fn magnitude(&self) -> u128 {
        match self {
            Self::Count(count) | Self::Tokens(count) => u128::from(*count),
            Self::Usd(usd) => usd.pico().unsigned_abs(),
            _ => 0,
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),+ $(,)?) => {$(
        impl From<$type> for Cell {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )+};
}

from! {
    &str => Text,
    &String => Text,
    String => Text,
    Usd => Usd,
    Timestamp => Time,
    NaiveDate => Day,
    bool => Bool,
    Vec<String> => List,
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}
