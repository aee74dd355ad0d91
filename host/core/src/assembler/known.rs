//! What every step of the assembler may look at.

use super::settings::Settings;
use crate::catalog::TypeCatalog;
use crate::lsn::Lsn;

#[derive(Debug)]
pub(super) struct Known {
    pub(super) settings: Settings,
    pub(super) catalog: TypeCatalog,
    /// Where the last complete transaction ended.
    pub(super) resume: Lsn,
    /// When the present message was received, microseconds since 1970.
    pub(super) now_us: i64,
}
