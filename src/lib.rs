//! Puts an ssh key and an overlay into a stock NixOS installer ISO.

pub mod keys;
