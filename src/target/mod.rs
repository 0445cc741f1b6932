//! Block devices: what the system says of them, and which are safe to overwrite.
//!
//! [`System`] gathers facts ([`Disk`]), [`Candidate::judge`] decides on facts alone, and only
//! [`Candidate::open`] makes a [`Target`], after comparing the facts again with the open device. What
//! the user may not do directly, udisks2 is asked to do.

mod awake;
mod contents;
mod disk;
mod holder;
mod open;
mod policy;
mod sys;
mod system;
mod udisks;
mod users;

pub use awake::Awake;
pub use disk::{Backing, DeviceNumber, Disk, Partition, Transport, Use};
pub use holder::Holder;
pub use open::{OpenedBy, Target, WriteMode, open_for_reading, unmount};
pub use policy::{Candidate, ExpectedSize, ImagePlace, Refusal, TargetRequirements};
pub use system::System;
