//! One stamping, from a base image to a verified one, and what is made of it.

pub mod base_image;
#[cfg(feature = "records")]
pub mod batch;
#[cfg(feature = "records")]
pub mod descriptor;
#[cfg(feature = "records")]
pub mod identity;
pub mod injected_facts;
pub(crate) mod key_files;
pub(crate) mod login_obstacles;
pub mod manifest;
#[cfg(feature = "records")]
pub mod oci;
#[cfg(feature = "records")]
mod oci_index;
pub mod patch;
pub mod planned_image;
pub mod previous;
pub mod privacy;
pub mod sign;
pub mod stamped_image;
mod unchanged;
