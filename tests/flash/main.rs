//! Writing to made-up sticks with every fault, and judging made-up disks.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]

mod devices;
mod format;
mod put_back;
mod records;
mod sources;
mod stick;
mod table;
mod writing;
