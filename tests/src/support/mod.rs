//! The pieces, one duty a file.

pub mod account;
pub mod audit;
pub mod backup;
pub mod cluster;
pub mod database;
pub mod desk;
pub mod event;
pub mod exact;
pub mod fold;
pub mod free_port;
pub mod guests;
pub mod http;
pub mod journal;
pub mod manifest;
pub mod peers;
pub mod pgcdc;
pub mod poll;
pub mod postgres;
pub mod proxy;
pub mod receiver;
pub mod repository;
pub mod samples;
pub mod signature;
pub mod usage;
pub mod watchdog;
pub mod writers;
