//! One stamping, from a base image to a verified one, and what is made of it.

pub mod base_image;
pub mod batch;
pub mod descriptor;
pub mod identity;
pub mod kept;
pub mod manifest;
pub mod oci;
pub mod patch;
pub mod planned_image;
pub mod privacy;
pub mod replaced;
pub mod sign;
pub mod stamped_image;
