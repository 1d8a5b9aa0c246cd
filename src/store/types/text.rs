//! Enums as words, and text that PostgreSQL takes.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;

use super::bind::{bind, read};
use crate::alert::AlertStatus;
use crate::alert::episode::EpisodeState;
use crate::audit::EventKind;
use crate::execution::{Origin, Phase, RollbackState, Status, StepStatus, Verification};
use crate::inventory::server::WinrmTransport;
use crate::rights::Role;
use crate::runbook::model::{Mode, OsType, RunbookStatus};
use crate::store::kinds::*;

/// Text that may have come from outside.
pub(in crate::store) trait HoldsText {
    /// It holds `U+0000`, which PostgreSQL refuses.
    fn has_nul(&self) -> bool;
    /// Puts `U+FFFD` for every `U+0000`.
    fn replace_nul(&mut self);
}

impl HoldsText for String {
    fn has_nul(&self) -> bool {
        self.contains('\0')
    }

    fn replace_nul(&mut self) {
        *self = self.replace('\0', "\u{FFFD}");
    }
}

impl<T: HoldsText> HoldsText for Option<T> {
    fn has_nul(&self) -> bool {
        self.as_ref().is_some_and(HoldsText::has_nul)
    }

    fn replace_nul(&mut self) {
        if let Some(text) = self {
            text.replace_nul();
        }
    }
}

/// The row itself, or a copy without `U+0000` in the named columns.
macro_rules! cleaned {
    ($row:expr; $($column:ident),+ $(,)?) => {{
        use $crate::store::types::HoldsText as _;
        let row = $row;
        if $(row.$column.has_nul())||+ {
            let mut row = row.clone();
            $(row.$column.replace_nul();)+
            ::std::borrow::Cow::Owned(row)
        } else {
            ::std::borrow::Cow::Borrowed(row)
        }
    }};
}
pub(in crate::store) use cleaned;

/// Enums made by `words!` as text columns with a CHECK.
macro_rules! text_enum {
    ($($word:ident),+ $(,)?) => { $(
        bind!($word as Text);
        read!($word);

        impl<DB> ToSql<Text, DB> for $word
        where
            DB: Backend,
            str: ToSql<Text, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                self.as_str().to_sql(out)
            }
        }

        impl<DB> FromSql<Text, DB> for $word
        where
            DB: Backend,
            String: FromSql<Text, DB>,
        {
            fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
                Ok(<String as FromSql<Text, DB>>::from_sql(value)?.parse()?)
            }
        }
    )+ };
}

text_enum!(
    AlertStatus,
    AttemptEnding,
    AttemptHold,
    AuthType,
    BatchState,
    BlackoutEffect,
    CircuitState,
    ConnectionStatus,
    DecideState,
    DecisionVerdict,
    DeliveryFormat,
    EpisodeRelation,
    EpisodeState,
    EventKind,
    HoldScope,
    LockReason,
    Mode,
    OnResolved,
    Origin,
    OsType,
    PauseScope,
    Phase,
    Recurrence,
    Role,
    RollbackState,
    RunbookOverride,
    RunbookStatus,
    ServerOrigin,
    SessionKind,
    Status,
    StepStatus,
    Stream,
    Verification,
    WinrmTransport,
);
