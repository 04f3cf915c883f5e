//! The events of a run and of all below it as one timeline, in the order of their commits.
//!
//! Invariant: in that order (the place of the commit, then the run, then the number in the run) each event is
//! given once, and none comes before one that was given: events are given only once their place is settled. So
//! the place of one event says of every run of the tree how far it was given, also to another node.

use std::collections::HashMap;

use async_stream::try_stream;
use entity::tasks::run_event;
use entity::tasks::task_run::RunStatus;
use futures_util::Stream;
use sea_orm::FromQueryResult as _;
use uuid::Uuid;

use super::events::{EventFilter, EventPage, LOOK, PAGE, RunEventView};
use super::load;
use super::tree::MOST;
use crate::ctx::Ctx;
use crate::db::{Column, Kind};
use crate::error::{Error, Result};

/// Pages that are read at most for one of JSON, when few of their events have the types that are asked for.
const MOST_LOOKS: usize = 10;

/// Where an event stands: `position-run-number` as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    position: i64,
    run: Uuid,
    seq: i64,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (position, rest) = text.split_once('-')?;
        let (run, seq) = rest.rsplit_once('-')?;
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0);
        Some(Self { position: number(position)?, run: run.parse().ok()?, seq: number(seq)? })
    }

    fn text(self) -> String {
        format!("{}-{}-{}", self.position, self.run, self.seq)
    }
}

/// A run of the tree, and how far its events are stored and given.
struct Member {
    run: Uuid,
    stored: i64,
    given: i64,
    ended: bool,
}

struct Timeline {
    ctx: Ctx,
    top: Uuid,
    root: Uuid,
    types: Option<Vec<String>>,
    place: Place,
    /// Up to which number the events of each run were given.
    given: HashMap<Uuid, i64>,
    all_had_ended: bool,
}

/// What one look found.
struct Look {
    events: Vec<(Place, RunEventView)>,
    /// Another look finds more at once.
    is_page: bool,
    /// Something is stored that was not given.
    more: bool,
    /// The whole tree has ended, and everything was given.
    over: bool,
}

const MEMBERS: [Column<Member>; 2] = [
    Column::new("run_id", Kind::Uuid, |member| member.run.into()),
    Column::new("given", Kind::Int, |member| member.given.into()),
];

impl Timeline {
    async fn open(ctx: Ctx, run: Uuid, filter: &EventFilter) -> Result<Self> {
        let top = load(&ctx, run).await?;
        if filter.after.is_some() {
            let message = "after counts the events of one run; with children give the cursor.";
            return Err(Error::invalid("after", "conflict", message));
        }
        let wrong = || Error::invalid("cursor", "range", "must be the id of an event of this stream");
        let place = filter.cursor.as_deref().map(|text| Place::parse(text).ok_or_else(wrong)).transpose()?;
        let mut timeline = Self {
            root: top.root_run_id.unwrap_or(run),
            ctx,
            top: run,
            types: filter.types()?,
            place: place.unwrap_or_default(),
            given: HashMap::new(),
            all_had_ended: false,
        };
        if place.is_some() {
            timeline.go_on().await?;
        }
        Ok(timeline)
    }

    /// What was given to whoever has seen the event at the place.
    async fn go_on(&mut self) -> Result<()> {
        let members = self.members().await?;
        let dialect = self.ctx.core.db.dialect();
        let sql = format!(
            "SELECT e.run_id, MAX(e.seq) AS seq FROM {} JOIN run_event e ON e.tenant_id = $1 \
             AND e.run_id = v.run_id WHERE (e.position, e.run_id, e.seq) <= ($2, $3, $4) GROUP BY e.run_id",
            dialect.rows(5, &MEMBERS)
        );
        let mut values = vec![self.place.position.into(), self.place.run.into(), self.place.seq.into()];
        values.extend(dialect.bind(&MEMBERS, &members));
        for row in self.ctx.db().query(&sql, values).await? {
            self.given.insert(row.try_get("", "run_id")?, row.try_get("", "seq")?);
        }
        Ok(())
    }

    /// The run and all below it that the caller sees.
    async fn members(&self) -> Result<Vec<Member>> {
        let sql = format!(
            "SELECT id, parent_run_id, workspace_id, agent_id, event_seq, status FROM task_run \
             WHERE tenant_id = $1 AND (id = $2 OR root_run_id = $2) ORDER BY id LIMIT {MOST}"
        );
        let mut below: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        let mut seen = HashMap::new();
        for row in self.ctx.db().query(&sql, vec![self.root.into()]).await? {
            let (run, agent): (Uuid, Option<Uuid>) = (row.try_get("", "id")?, row.try_get("", "agent_id")?);
            let workspace: Option<Uuid> = row.try_get("", "workspace_id")?;
            if !self.ctx.view.sees(workspace) || !self.ctx.rights.reach.holds_agent(agent) {
                continue;
            }
            if let Some(parent) = row.try_get::<Option<Uuid>>("", "parent_run_id")? {
                below.entry(parent).or_default().push(run);
            }
            let status: RunStatus = row.try_get("", "status")?;
            let given = self.given.get(&run).copied().unwrap_or_default();
            let stored = row.try_get("", "event_seq")?;
            seen.insert(run, Member { run, stored, given, ended: status.is_terminal() });
        }
        let (mut members, mut next) = (Vec::new(), vec![self.top]);
        while let Some(run) = next.pop() {
            next.extend(below.remove(&run).into_iter().flatten());
            members.extend(seen.remove(&run));
        }
        Ok(members)
    }

    /// The next events. What is settled is asked first: the runs and events of what was settled then are seen
    /// by the questions that follow.
    async fn look(&mut self) -> Result<Look> {
        let dialect = self.ctx.core.db.dialect();
        let sql = format!(
            "SELECT MAX(position) AS newest, {} AS settled FROM run_event WHERE tenant_id = $1",
            dialect.settled_events()
        );
        let rows = self.ctx.db().query(&sql, Vec::new()).await?;
        let row = rows.first().ok_or_else(|| Error::internal("an aggregate has one row"))?;
        let (newest, settled): (Option<i64>, i64) = (row.try_get("", "newest")?, row.try_get("", "settled")?);
        let mut members = self.members().await?;
        if members.is_empty() {
            // The run was removed, or is out of sight: the same answer as at the start.
            load(&self.ctx, self.top).await?;
        }
        let all_ended = members.iter().all(|member| member.ended);
        members.retain(|member| member.stored > member.given);
        let events = if members.is_empty() { Vec::new() } else { self.read(&members, settled).await? };
        let is_page = events.len() as u64 == PAGE;
        // Where events of a run were removed, its count is never reached.
        let nothing_is_left = events.is_empty() && newest.is_none_or(|newest| newest < settled);
        for (place, event) in &events {
            self.given.insert(event.run_id, event.seq);
            self.place = *place;
        }
        let is_given = |member: &Member| self.given.get(&member.run).is_some_and(|seq| *seq >= member.stored);
        let all_given = members.iter().all(is_given);
        let over = all_ended && (all_given || (nothing_is_left && self.all_had_ended));
        self.all_had_ended = all_ended;
        let wanted =
            |event: &RunEventView| self.types.as_ref().is_none_or(|types| types.contains(&event.kind));
        let events = events.into_iter().filter(|(_, event)| wanted(event)).collect();
        Ok(Look { events, is_page, more: !all_given && !nothing_is_left, over })
    }

    /// Numbers of a run have no gaps, so a page of the tree lies within the next page of each of its runs.
    async fn read(&self, members: &[Member], settled: i64) -> Result<Vec<(Place, RunEventView)>> {
        let dialect = self.ctx.core.db.dialect();
        let sql = format!(
            "SELECT e.* FROM {} JOIN run_event e ON e.tenant_id = $1 AND e.run_id = v.run_id \
             AND e.seq > v.given AND e.seq <= v.given + {PAGE} WHERE e.position < $2 \
             ORDER BY e.position, e.run_id, e.seq LIMIT {PAGE}",
            dialect.rows(3, &MEMBERS)
        );
        let mut values = vec![settled.into()];
        values.extend(dialect.bind(&MEMBERS, members));
        let rows = self.ctx.db().query(&sql, values).await?;
        let events = rows.iter().map(|row| {
            let event = run_event::Model::from_query_result(row, "")?;
            let place = Place { position: event.position, run: event.run_id, seq: event.seq };
            Ok((place, RunEventView::from(event)))
        });
        events.collect()
    }
}

pub(super) async fn list(ctx: &Ctx, run: Uuid, filter: &EventFilter) -> Result<EventPage> {
    let mut timeline = Timeline::open(ctx.clone(), run, filter).await?;
    let limit = usize::try_from(filter.limit()).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let mut more = true;
    for _ in 0..MOST_LOOKS {
        let look = timeline.look().await?;
        more = look.more;
        found.extend(look.events);
        if !look.is_page || found.len() > limit {
            break;
        }
    }
    let rest = found.len() > limit;
    found.truncate(limit);
    let last = if rest { found.last().map(|(place, _)| *place) } else { more.then_some(timeline.place) };
    let data = found.into_iter().map(|(_, event)| event).collect();
    let next_cursor = last.map(Place::text);
    Ok(EventPage { data, has_more: next_cursor.is_some(), next_cursor, total: None })
}

/// The events with their ids, from a place on, until the run and all below it are terminal.
pub async fn follow_tree(
    ctx: Ctx,
    run: Uuid,
    filter: EventFilter,
) -> Result<impl Stream<Item = Result<(String, RunEventView)>> + Send> {
    let mut timeline = Timeline::open(ctx, run, &filter).await?;
    let mut subscription = timeline.ctx.core.engine.watch(run);
    Ok(try_stream! {
        loop {
            let look = timeline.look().await?;
            for (place, event) in look.events {
                yield (place.text(), event);
            }
            if look.over {
                return;
            }
            if !look.is_page {
                tokio::select! {
                    _ = subscription.changed() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let place = Place { position: 1_764_311_223_000_001, run: Uuid::from_u128(7), seq: 12 };
        assert_eq!(Place::parse(&place.text()), Some(place));
        for wrong in ["", "1", "1-2", "-1-00000000-0000-0000-0000-000000000007-1", "x-y-z", "1-2-3"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
