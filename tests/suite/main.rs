//! What the library and the program promise, shown on the tiny images and without any foreign program.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod absent;
mod adds;
mod answers;
mod bases;
mod batch;
mod book;
mod boot_image;
mod bootline;
mod cancel;
mod changing;
mod cli;
mod completions;
mod composed;
mod damage;
mod descriptor;
mod disks;
mod dot_records;
mod durable;
mod files;
mod fixtures;
mod flags;
mod front_door;
mod fuzzed;
mod hostile_bases;
mod hostile_stamped;
mod hosts;
mod identity;
mod journals;
mod key_files;
mod layers;
mod limits;
mod limits_table;
mod loaded;
mod login;
mod manual;
mod memory;
mod menus;
mod menus_refused;
mod messages;
mod modes;
mod netboot;
mod oci;
mod outputs;
mod patch_reset;
mod properties;
mod random_trees;
mod raw;
mod records;
mod restamp;
mod room;
mod same_file;
mod schemas;
mod seams;
mod settings;
mod silence;
mod slips;
mod sound;
mod sources;
mod stale;
mod streams;
mod summary;
mod support;
mod terminal;
mod threat_model;
mod trees;
mod users_file;
mod words;
mod wrong;
mod wrong_files;
