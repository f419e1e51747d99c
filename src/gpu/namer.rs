//! From snapshots to metric families: which series there are, their labels and values.

use std::sync::Arc;

use super::counters::Counters;
use super::families::{Base, Families, Family, Pairs, Sample};
use super::fields::{Field, FieldSet, renamed};
use super::naming::{LabelField, Naming};
use super::plain::{self, Dialect, PLAIN, Scope};
use super::reading::{GpuState, MigInstance, Reading, Row, Snapshot, Value};
use super::windows::{Derived, Windows};
use super::xid::{XIDS_TO_WATCH, xid_message};

/// Family of the counts of each XID.
pub(super) const XID_COUNTS: &str = "perdura_gpu_xid_errors_total";

/// Names what snapshots hold, round by round.
pub struct Namer {
    counters: Counters,
    naming: Naming,
    /// Counters whose values are labels.
    labels: Vec<LabelField>,
    windows: Windows,
    /// Types and help texts of `counters`, in their order, and those of the other families as they first come.
    texts: Texts,
    /// Label sets of the last round, in its order.
    bases: Vec<Arc<Base>>,
}

/// Type and help text of families, shared by all rounds.
#[derive(Default)]
struct Texts(Vec<(&'static str, Arc<str>, Arc<str>)>);

/// One row, with the places of its labels.
struct Placed<'a> {
    gpu: &'a GpuState,
    base: usize,
    /// Of plain names, where they are shown.
    plain: Option<PlainBases>,
    /// None for a GPU that did not answer: what the collector knows by itself is shown without it.
    reading: Option<&'a Reading>,
}

#[derive(Clone, Copy)]
struct PlainBases {
    gpu: usize,
    dcgm: usize,
}

/// The rows of a round, and its GPUs as wholes.
#[derive(Default)]
struct Places<'a> {
    rows: Vec<Placed<'a>>,
    /// What is said of a GPU as such has no labels of an instance.
    whole: Vec<Placed<'a>>,
}

impl Namer {
    /// Of what `counters` ask for, named as `naming` says.
    pub fn new(counters: Counters, naming: Naming) -> Self {
        let labels = naming.label_fields(&counters);
        let (windows, texts) = Default::default();
        Self { counters, naming, labels, windows, texts, bases: Vec::new() }
    }

    /// What must be read for it.
    pub fn fields(&self) -> FieldSet {
        let mut fields = FieldSet::default();
        if self.shows_dcgm() {
            fields = fields.union(self.counters.fields());
        }
        if self.naming.names.is_plain {
            fields = fields.union(plain::fields());
        }
        fields
    }

    fn shows_dcgm(&self) -> bool {
        self.naming.names.is_dcgm || self.naming.names.is_renamed
    }

    /// The families of a round. Allocates for each GPU and each family, not for each sample.
    pub fn families(&mut self, snapshot: &Snapshot) -> Families {
        let mut families = Families::default();
        let places = self.place(snapshot, &mut families);
        if self.shows_dcgm() {
            self.add_dcgm(&mut families, &places);
            self.add_derived(&mut families, snapshot, &places);
        }
        if self.naming.names.is_plain {
            self.add_plain(&mut families, &places);
        }
        self.add_own(&mut families, &places.whole);
        self.add_source(&mut families, snapshot);
        self.bases.clone_from(&families.bases);
        families
    }

    fn place<'a>(&self, snapshot: &'a Snapshot, families: &mut Families) -> Places<'a> {
        let mut places = Places::default();
        for gpu in &snapshot.gpus {
            let first = gpu.rows.as_deref().and_then(<[Row]>::first).map(|row| &row.reading);
            let whole = self.place_row(gpu, None, first, families);
            let unread = Placed { reading: None, ..whole };
            let is_whole = |rows: &Vec<Row>| rows.iter().any(|row| row.instance.is_none());
            match &gpu.rows {
                None => places.rows.push(unread),
                Some(rows) if is_whole(rows) => places.rows.push(Placed { ..whole }),
                Some(rows) => places.rows.extend(
                    rows.iter()
                        .map(|row| self.place_row(gpu, row.instance.as_ref(), Some(&row.reading), families)),
                ),
            }
            places.whole.push(whole);
        }
        places
    }

    fn place_row<'a>(
        &self,
        gpu: &'a GpuState,
        instance: Option<&MigInstance>,
        reading: Option<&'a Reading>,
        families: &mut Families,
    ) -> Placed<'a> {
        let mut add = |pairs: Pairs| {
            let place = families.bases.len();
            families.bases.push(self.base(place, pairs));
            place
        };
        let base = add(self.naming.base(&gpu.identity, instance, reading, &self.labels));
        let mut plain = |dialect| add(plain::base(dialect, &gpu.identity, instance, &self.naming));
        let plain = self
            .naming
            .names
            .is_plain
            .then(|| PlainBases { gpu: plain(Dialect::Gpu), dcgm: plain(Dialect::Dcgm) });
        Placed { gpu, base, plain, reading }
    }

    /// The last round's, where it is the same.
    fn base(&self, place: usize, pairs: Pairs) -> Arc<Base> {
        let before = self.bases.get(place).filter(|base| *base.pairs() == pairs);
        before.map_or_else(|| Arc::new(Base::new(pairs)), Arc::clone)
    }

    fn add_dcgm(&mut self, families: &mut Families, places: &Places<'_>) {
        let names = self.naming.names;
        for counter in self.counters.families() {
            let field = counter.info.field;
            let samples: Vec<_> = places.rows.iter().filter_map(|row| row.sample(field)).collect();
            let later = renamed(field);
            let is_later = names.is_renamed && later != counter.name;
            if is_later {
                self.texts.add(families, later, &counter.metric_type, &counter.help, samples.clone());
            }
            if names.is_dcgm || !is_later {
                self.texts.add(families, counter.name, &counter.metric_type, &counter.help, samples);
            }
        }
    }

    /// What the exporter counts over a window: 0, without what is counted, where nothing came.
    fn add_derived(&mut self, families: &mut Families, snapshot: &Snapshot, places: &Places<'_>) {
        if self.counters.derived().is_empty() {
            return;
        }
        let lengths = self.naming.windows;
        self.windows.advance(snapshot, lengths);
        for counter in self.counters.derived() {
            let derived = counter.derived;
            let length = ("window_size_in_ms", lengths.ms(derived).to_string());
            let of_row = |row: &Placed<'_>| {
                let counts = self.windows.counts(derived, &row.gpu.identity.uuid);
                let is_none = counts.is_empty() && row.tells(derived);
                let none = is_none.then(|| Sample { own: vec![length.clone()], ..row.of(Value::Int(0)) });
                let some = counts.into_iter().map(|(what, count)| {
                    let mut own = vec![(derived.label(), what), length.clone()];
                    own.sort_unstable();
                    Sample { own, ..row.of(count) }
                });
                some.chain(none).collect::<Vec<_>>()
            };
            let samples = places.rows.iter().flat_map(of_row).collect();
            self.texts.add(families, derived.name(), &counter.metric_type, &counter.help, samples);
        }
    }

    fn add_plain(&mut self, families: &mut Families, places: &Places<'_>) {
        for family in PLAIN {
            let samples = match family.scope {
                Scope::Row(value) => {
                    let of_row = |row: &Placed<'_>| row.plain_sample(family.dialect, value(row.reading?)?);
                    places.rows.iter().filter_map(of_row).collect()
                }
                Scope::Gpu(value) => {
                    let of_gpu = |gpu: &Placed<'_>| gpu.plain_sample(family.dialect, value(gpu.gpu)?);
                    places.whole.iter().filter_map(of_gpu).collect()
                }
            };
            self.texts.add(families, family.name, family.metric_type, family.help, samples);
        }
    }

    /// A driver that hangs from the beginning on has no GPUs to say it of.
    fn add_source(&mut self, families: &mut Families, snapshot: &Snapshot) {
        let Some(is_up) = snapshot.is_source_up else { return };
        let place = families.bases.len();
        families.bases.push(self.base(place, self.naming.machine()));
        let sample = Sample { base: place, own: Pairs::new(), value: Value::Int(i64::from(is_up)) };
        let help = "Whether the driver that GPUs are read through is there and answers.";
        self.texts.add(families, "perdura_gpu_source_up", "gauge", help, vec![sample]);
    }

    /// What DCGM does not tell: whether a GPU answers, and each XID.
    fn add_own(&mut self, families: &mut Families, gpus: &[Placed<'_>]) {
        let up = gpus.iter().map(|gpu| gpu.of(Value::Int(i64::from(gpu.gpu.rows.is_some()))));
        let help = "Whether the GPU answered in time when it was read last.";
        self.texts.add(families, "perdura_gpu_up", "gauge", help, up.collect());
        if !self.fields().has(Field::XidErrors) {
            return;
        }
        let mut counts = Vec::new();
        let mut times = Vec::new();
        for gpu in gpus {
            let Some(history) = &gpu.gpu.xids else { continue };
            if self.naming.has_xids_at_zero {
                let unseen = XIDS_TO_WATCH.iter().filter(|xid| !history.counts.contains_key(xid));
                let zero =
                    |xid: &u64| Sample { own: vec![("xid", xid.to_string())], ..gpu.of(Value::Int(0)) };
                counts.extend(unseen.map(zero));
            }
            for (xid, seen) in &history.counts {
                let own: Pairs = vec![("xid", xid.to_string())];
                let count = Value::Int(i64::try_from(seen.count).unwrap_or(i64::MAX));
                counts.push(Sample { own: own.clone(), ..gpu.of(count) });
                let seconds = Value::Float(seen.last_seen as f64 / 1_000.0);
                times.push(Sample { own, ..gpu.of(seconds) });
            }
        }
        let help = "XID events of the GPU since the collector started.";
        self.texts.add(families, XID_COUNTS, "counter", help, counts);
        let help = "When the XID was seen last, in seconds since the epoch.";
        self.texts.add(families, "perdura_gpu_xid_last_seen_timestamp_seconds", "gauge", help, times);
    }
}

impl Families {
    /// The families of one snapshot alone.
    pub fn new(snapshot: &Snapshot, counters: &Counters, naming: &Naming) -> Self {
        Namer::new(counters.clone(), naming.clone()).families(snapshot)
    }
}

impl Placed<'_> {
    /// A value with the labels of the row and no others.
    fn of(&self, value: Value) -> Sample {
        Sample { base: self.base, own: Pairs::new(), value }
    }

    fn plain_sample(&self, dialect: Dialect, value: Value) -> Option<Sample> {
        let bases = self.plain?;
        let base = match dialect {
            Dialect::Gpu => bases.gpu,
            Dialect::Dcgm => bases.dcgm,
        };
        Some(Sample { base, ..self.of(value) })
    }

    /// Whether a count over a window is of something that the GPU tells.
    fn tells(&self, derived: Derived) -> bool {
        match derived {
            Derived::XidErrors => self.gpu.xids.is_some(),
            Derived::ClockEvents => {
                self.reading.is_some_and(|reading| reading.get(derived.field()).is_some())
            }
        }
    }

    fn sample(&self, field: Field) -> Option<Sample> {
        if field != Field::XidErrors {
            return Some(self.of(self.reading?.get(field)?));
        }
        // 0 stands for none seen yet, as in DCGM.
        let xid = self.gpu.xids.as_ref()?.last.unwrap_or(0);
        let own = vec![("err_code", xid.to_string()), ("err_msg", xid_message(xid).to_owned())];
        Some(Sample { own, ..self.of(Value::Int(i64::try_from(xid).unwrap_or(i64::MAX))) })
    }
}

impl Texts {
    /// Adds a family, unless it is empty.
    fn add(
        &mut self,
        families: &mut Families,
        name: &'static str,
        metric_type: &str,
        help: &str,
        samples: Vec<Sample>,
    ) {
        if samples.is_empty() {
            return;
        }
        let place = self.0.iter().position(|(known, ..)| *known == name).unwrap_or_else(|| {
            self.0.push((name, metric_type.into(), help.into()));
            self.0.len() - 1
        });
        let (_, metric_type, help) = self.0[place].clone();
        families.families.push(Family { name, metric_type, help, samples });
    }
}
