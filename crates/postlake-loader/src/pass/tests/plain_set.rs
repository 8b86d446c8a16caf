//! Loading against a model that is plain: a set of everything that was ever sent.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A batch of events comes to one of two receivers: number and day of each. Day 0 is no day.
    Land(bool, Vec<(u64, u64)>),
    /// A pass of the loader that has been at work before.
    Pass,
    /// The process ends and another one starts.
    Restart,
    /// A pass is cut off after its commit to a table, or before all, and the process ends.
    CutOff(Option<Table>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let events = prop::collection::vec((0..40_u64, 0..5_u64), 0..30);
    let step = prop_oneof![
        5 => (any::<bool>(), events).prop_map(|(other, events)| Step::Land(other, events)),
        4 => Just(Step::Pass),
        1 => Just(Step::Restart),
        1 => prop::sample::select(vec![None, Some(Table::Events), Some(Table::Quarantine)])
            .prop_map(Step::CutOff),
    ];
    prop::collection::vec(step, 1..14)
}

fn limits() -> impl Strategy<Value = PassLimits> {
    let keys = (
        prop::sample::select(vec![0, 7, 60, 1000]),
        prop::sample::select(vec![0, 64, 4096]),
        prop::sample::select(vec![0, 600, 1 << 20]),
    );
    (keys, 1..4_usize).prop_map(|((loose, filter_bytes, disk_bytes), segments)| PassLimits {
        segments,
        keys: KeyLimits {
            loose,
            filter_bytes,
            disk_bytes,
        },
        ..PassLimits::default()
    })
}

fn of_day(id: u64, day: u64) -> String {
    if day == 0 {
        return undated(id);
    }
    // Some at the end of a second, and of a day.
    let at = 1_460_937_600 + day * 86_400 + (id % 3) * 43_199;
    format!(
        r#"{{"msys":{{"message_event":{{"type":"delivery","event_id":"{id}","timestamp":"{at}.{}"}}}}}}"#,
        id % 1000
    )
}

struct Played {
    world: World,
    loader: Loader,
    limits: PassLimits,
    streams: [(StreamName, u64); 2],
    /// Number and day of every event that was ever sent.
    sent: HashSet<(u64, u64)>,
    items: usize,
}

impl Played {
    fn new(limits: PassLimits) -> Played {
        let world = World::new();
        let stream = |random| (StreamName::from_parts(noon(), random), 1);
        Played {
            loader: world.loader_within(limits),
            world,
            limits,
            streams: [stream(7), stream(8)],
            sent: HashSet::new(),
            items: 0,
        }
    }

    fn restart(&mut self) {
        self.loader = self.world.loader_within(self.limits);
    }

    async fn play(&mut self, step: Step) {
        match step {
            Step::Land(other, events) => {
                let (stream, next) = &mut self.streams[usize::from(other)];
                (self.world.stream, self.world.next) = (*stream, *next);
                let items: Vec<_> = events.iter().map(|(id, day)| of_day(*id, *day)).collect();
                *next += 1;
                self.world.land(&[&body(&items)]).await;
                self.items += events.len();
                self.sent.extend(events);
            }
            Step::Pass => {
                self.loader.pass().await.unwrap();
            }
            Step::Restart => self.restart(),
            Step::CutOff(last) => {
                cut_off_after(&self.world, self.limits, last).await;
                self.restart();
            }
        }
    }

    async fn finish(&mut self) {
        while self.loader.pass().await.unwrap().more {}
        let rows = self.sent.len() as i64;
        let sql = "SELECT count(*) FROM events";
        assert_eq!(self.world.number(sql).await, rows, "rows of events");
        let sql = "SELECT count(DISTINCT event_id || arrow_cast(event_date, 'Utf8') || coalesce(flags, '')) FROM events";
        assert_eq!(self.world.number(sql).await, rows, "different events");
        let sql = "SELECT coalesce(sum(duplicates), 0) FROM batches";
        let duplicates = self.items as i64 - rows;
        assert_eq!(self.world.number(sql).await, duplicates, "duplicates");
        self.world.books_balance().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 100, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_kept_of_the_keys_every_event_is_in_the_lake_once(steps in steps(), limits in limits()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut played = Played::new(limits);
            for step in steps {
                played.play(step).await;
            }
            played.finish().await;
        });
    }
}
