//! The one list of what is stored. A new kind of row is a line here: it is then loaded at the start, handed to the store when
//! it changed, and seen by whoever walks all tables.

use super::{
    ArtifactRow, BuildRow, ConfigRow, DroneRow, DroneWishesRow, DurationRow, EventRow, HealingRow, HistoryRow,
    IdempotencyRow, IndexRow, InviteRow, MemberRow, MetaRow, NoticeRow, PlanRow, SessionRow, StatsRow,
};
use crate::table::{Journal, Row, Sink, Source, Table};

/// Looks at every kind of row there is, one after the other.
pub trait Visitor {
    /// Rows of a table: all of them are in the core's memory.
    fn table<R: Row>(&mut self);
    /// Rows of a journal: only ever appended, and read from the store alone.
    fn journal<R: Row<Key = u64>>(&mut self);
}

macro_rules! rows {
    (tables { $($table:ident: $row:ty,)+ } journals { $($journal:ident: $entry:ty,)+ }) => {
        /// Everything stored. What changed goes to the store in this order.
        #[derive(Default)]
        pub(crate) struct Rows {
            $(pub $table: Table<$row>,)+
            $(pub $journal: Journal<$entry>,)+
        }

        impl Rows {
            /// All tables as they were stored. Journals are not read.
            pub(crate) fn load<S: Source>(source: &S) -> Result<Self, S::Error> {
                Ok(Self { $($table: Table::load(source)?,)+ $($journal: Journal::default(),)+ })
            }

            /// Whether any row waits to be stored.
            pub(crate) fn is_changed(&self) -> bool {
                $(self.$table.is_changed())||+ || $(self.$journal.is_changed())||+
            }

            /// Hands every changed row to the store.
            pub(crate) fn drain(&mut self, sink: &mut impl Sink) {
                $(self.$table.drain(sink);)+
                $(self.$journal.drain(sink);)+
            }
        }

        /// Shows a visitor every kind of row, in the order of the list.
        pub fn visit(visitor: &mut impl Visitor) {
            $(visitor.table::<$row>();)+
            $(visitor.journal::<$entry>();)+
        }
    };
}

rows! {
    tables {
        meta: MetaRow,
        builds: BuildRow,
        drones: DroneRow,
        sessions: SessionRow,
        plans: PlanRow,
        durations: DurationRow,
        stats: StatsRow,
        idempotency: IdempotencyRow,
        artifacts: ArtifactRow,
        indexes: IndexRow,
        config: ConfigRow,
        healing: HealingRow,
        wishes: DroneWishesRow,
        notices: NoticeRow,
        members: MemberRow,
        invites: InviteRow,
    }
    journals {
        events: EventRow,
        history: HistoryRow,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[derive(Default)]
    struct Names {
        tables: Vec<&'static str>,
        journals: Vec<&'static str>,
    }

    impl Visitor for Names {
        fn table<R: Row>(&mut self) {
            self.tables.push(R::TABLE);
        }

        fn journal<R: Row<Key = u64>>(&mut self) {
            self.journals.push(R::TABLE);
        }
    }

    #[test]
    fn no_two_kinds_of_rows_share_a_table() {
        let mut names = Names::default();
        visit(&mut names);
        assert_eq!((names.tables.first(), names.journals.as_slice()), (Some(&"meta"), &["events", "history"][..]));
        let all: Vec<&str> = names.tables.into_iter().chain(names.journals).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
    }
}
