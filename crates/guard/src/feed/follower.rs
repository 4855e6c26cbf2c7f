//! What to ask the feed for next, and what to believe of the answers. All trust in a feed is decided here:
//! signatures, order, completeness. No I/O and no clock; see `http.rs`.
//!
//! Records go into the view as soon as somebody's signature vouches for them, because a join can do no harm.
//! What has to be earned is the claim that none is *missing*: only then does the view's time move.

use std::{cmp::Ordering, collections::HashSet, sync::Arc};

use super::{
    Batch, Chain, Digest, FeedFault, FeedKeys, Kind, Manifest, Position, SealedBatch, Segment, View,
    batch::decode_records, chain,
};

/// What a follower needs somebody to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The keys that sign the feed.
    FetchFeedKeys,
    /// The manifest, for [`Follower::manifest`].
    FetchManifest,
    /// A segment, for [`Follower::segment`].
    FetchSegment(Digest),
    /// The batches after a position, for [`Follower::batch`] and then [`Follower::tail_ended`].
    Tail(Position),
    /// The keys that sign tokens; their content must have this hash, when there is one.
    FetchKeys(Option<Digest>),
    /// The policy with this hash.
    FetchPolicy(Digest),
}

/// What went wrong so far, for dashboards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches that were known already.
    pub duplicates: u64,
    /// Batches and manifests of an older epoch.
    pub old_epochs: u64,
    /// Stretches that were missing.
    pub gaps: u64,
    /// Signatures, hashes, forms and chains that did not hold.
    pub forgeries: u64,
}

/// Follows one feed from one source into a view. Several followers may share a view.
pub struct Follower {
    view: Arc<View>,
    issuer: String,
    keys: Option<FeedKeys>,
    keys_are_old: bool,
    step: Step,
    place: Option<Place>,
    newest_epoch: u64,
    /// Segments that are in the view.
    held: HashSet<Digest>,
    bundles: Bundles,
    counts: Counts,
}

/// What the main path waits for.
enum Step {
    Manifest,
    Segments { manifest: Box<Manifest>, missing: Vec<Segment> },
    Tail,
}

/// Up to where everything is known: a manifest's segments and, from there, an unbroken chain.
#[derive(Clone, Copy)]
struct Place {
    epoch: u64,
    applied: u64,
    chain: Chain,
    /// The head of the manifest that was started from, until it is reached. Without one the place is
    /// complete.
    goal: Option<Goal>,
}

#[derive(Clone, Copy)]
struct Goal {
    head: u64,
    chain: Chain,
    as_of_ms: u64,
}

/// Key sets and policies: which are current, and which have been handed on.
#[derive(Default)]
struct Bundles {
    keys: Option<Digest>,
    policy: Option<Digest>,
    keys_held: Option<Digest>,
    policy_held: Option<Digest>,
    /// Unpinned keys are fetched when the feed or the guard asks for it.
    keys_wanted: bool,
    /// A manifest must be this far, because a record announced something new.
    announced: u64,
    manifest_head: u64,
    /// A manifest was read; before that nobody knows whether keys are pinned.
    known: bool,
    /// A manifest was read since the last look at the tail; the next can hardly say more.
    just_read: bool,
}

impl Follower {
    /// Begins with nothing: first feed keys, then a manifest.
    pub fn new(view: Arc<View>, issuer: impl Into<String>) -> Self {
        Self {
            view,
            issuer: issuer.into(),
            keys: None,
            keys_are_old: false,
            step: Step::Manifest,
            place: None,
            newest_epoch: 0,
            held: HashSet::new(),
            bundles: Bundles { keys_wanted: true, ..Bundles::default() },
            counts: Counts::default(),
        }
    }

    /// The next thing on the way to being up to date. Asking twice changes nothing, so a failed fetch needs
    /// no word: ask again after a pause.
    pub fn next(&self) -> Command {
        match (&self.step, self.place) {
            _ if self.keys.is_none() => Command::FetchFeedKeys,
            (Step::Segments { missing, .. }, _) if !missing.is_empty() => {
                Command::FetchSegment(missing[missing.len() - 1].sha256)
            }
            (Step::Tail, Some(place)) if !self.bundles.need_manifest() => Command::Tail(place.position()),
            _ => Command::FetchManifest,
        }
    }

    /// What is wanted besides. A failure here must not delay the tail.
    pub fn errands(&self) -> Vec<Command> {
        let feed_keys = self.keys_are_old.then_some(Command::FetchFeedKeys);
        feed_keys.into_iter().chain(self.bundles.errands()).collect()
    }

    /// The keys that are known may be published no more: they are to be fetched anew, and hold until then.
    pub fn ask_for_feed_keys(&mut self) {
        self.keys_are_old = self.keys.is_some();
    }

    /// Feed keys arrived over an authenticated connection to the issuer.
    pub fn feed_keys(&mut self, keys: FeedKeys) {
        self.keys = Some(keys);
        self.keys_are_old = false;
    }

    /// A manifest arrived from anybody.
    pub fn manifest(&mut self, text: &str) -> Result<(), FeedFault> {
        let verdict = self.read_manifest(text);
        self.judge(verdict)
    }

    /// A segment arrived from anybody.
    pub fn segment(&mut self, content: &[u8]) -> Result<(), FeedFault> {
        let verdict = self.read_segment(content);
        self.judge(verdict)
    }

    /// A batch arrived from anybody, asked for or not.
    pub fn batch(&mut self, sealed: SealedBatch) -> Result<(), FeedFault> {
        let verdict = self.read_batch(sealed);
        self.judge(verdict)
    }

    /// An answer that should have held batches did not have their form.
    pub fn malformed(&mut self) {
        let _ = self.judge(Err(FeedFault::Malformed));
    }

    /// The answer to a [`Command::Tail`] is at its end.
    pub fn tail_ended(&mut self) {
        self.bundles.just_read = false;
    }

    /// The source no longer has what was asked for, or is in another epoch: a manifest tells where to
    /// continue.
    pub fn gone(&mut self) {
        self.step = Step::Manifest;
    }

    /// The token keys with this hash were handed on.
    pub fn keys_delivered(&mut self, name: Digest) {
        self.bundles.keys_held = Some(name);
        self.bundles.keys_wanted = false;
    }

    /// The policy with this hash was handed on.
    pub fn policy_delivered(&mut self, name: Digest) {
        self.bundles.policy_held = Some(name);
    }

    /// Somebody met a key that is not in the set: look whether there is a newer one.
    pub fn want_keys(&mut self) {
        self.bundles.keys_wanted = true;
        self.look_again();
    }

    /// Something that the manifest names could not be had; perhaps a newer manifest names something else.
    pub fn look_again(&mut self) {
        self.bundles.announced = self.bundles.announced.max(self.bundles.manifest_head + 1);
    }

    /// What went wrong so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn judge(&mut self, verdict: Result<(), FeedFault>) -> Result<(), FeedFault> {
        match verdict {
            Ok(()) => return Ok(()),
            // A source that is behind changes nothing here; without news the view ages and closes.
            Err(FeedFault::OldEpoch) => {
                self.counts.old_epochs += 1;
                return verdict;
            }
            // Fetching the same name again is all that helps.
            Err(FeedFault::WrongHash) => {
                self.counts.forgeries += 1;
                return verdict;
            }
            Err(FeedFault::Gap) => self.counts.gaps += 1,
            Err(FeedFault::NewEpoch) => {}
            Err(FeedFault::UnknownKey) => {
                self.keys_are_old = true;
                self.counts.forgeries += 1;
            }
            Err(FeedFault::BrokenChain) => {
                self.part_ways();
                self.counts.forgeries += 1;
            }
            Err(_) => self.counts.forgeries += 1,
        }
        self.step = Step::Manifest;
        verdict
    }

    /// What is signed does not continue what was signed before. A guard that never was complete starts over;
    /// one that was knows acknowledgements that the other history may lack, and must not go on in it.
    fn part_ways(&mut self) {
        let (reached, is_cold) = (self.view.position(), self.view.as_of_ms() == 0);
        if let Some(place) = self.place.take().filter(|place| !is_cold && place.epoch == reached.epoch) {
            self.view.note_fork(place.epoch);
        }
    }

    fn read_manifest(&mut self, text: &str) -> Result<(), FeedFault> {
        let keys = self.keys.as_ref().ok_or(FeedFault::UnknownKey)?;
        let manifest = Manifest::verify(text, keys, &self.issuer, self.view.feed())?;
        if manifest.epoch < self.newest_epoch {
            return Err(FeedFault::OldEpoch);
        }
        if !self.view.set_salt(&manifest.salt) {
            return Err(FeedFault::ChangedSalt);
        }
        self.newest_epoch = manifest.epoch;
        self.bundles.read(&manifest);
        match self.place.filter(|place| place.continues(&manifest)) {
            Some(place) => self.resume(place, &manifest),
            None => self.start_over(manifest),
        }
    }

    /// Everything before the tail is known already, so only the tail is missing.
    fn resume(&mut self, mut place: Place, manifest: &Manifest) -> Result<(), FeedFault> {
        place.goal = (place.applied < manifest.head).then_some(Goal::of(manifest));
        if place.applied == manifest.head && place.chain != manifest.chain {
            return Err(FeedFault::BrokenChain);
        }
        self.step = Step::Tail;
        // A manifest that ends before our place comes from a server that is behind, and its time is that of
        // an earlier place; or from a database that was put back, and its time is that of another history.
        let as_of_ms = if place.applied > manifest.head { 0 } else { manifest.as_of };
        self.stand(place, as_of_ms);
        Ok(())
    }

    fn start_over(&mut self, manifest: Manifest) -> Result<(), FeedFault> {
        let missing = manifest.segments.iter().filter(|segment| !self.held.contains(&segment.sha256));
        let missing: Vec<_> = missing.cloned().collect();
        self.step = Step::Segments { manifest: Box::new(manifest), missing };
        self.finish_segments()
    }

    fn read_segment(&mut self, content: &[u8]) -> Result<(), FeedFault> {
        let Step::Segments { missing, .. } = &mut self.step else { return Ok(()) };
        let name = Digest::of(content);
        let at = missing.iter().position(|segment| segment.sha256 == name).ok_or(FeedFault::WrongHash)?;
        let records = decode_records(content).ok_or(FeedFault::Malformed)?;
        if records.len() as u64 != missing[at].count {
            return Err(FeedFault::Malformed);
        }
        missing.swap_remove(at);
        self.view.apply(&records);
        self.held.insert(name);
        self.finish_segments()
    }

    /// When no segment is missing any more, the tail begins where the segments end.
    fn finish_segments(&mut self) -> Result<(), FeedFault> {
        let Step::Segments { manifest, missing } = &self.step else { return Ok(()) };
        if !missing.is_empty() {
            return Ok(());
        }
        let manifest = manifest.clone();
        let named: HashSet<_> = manifest.segments.iter().map(|segment| segment.sha256).collect();
        self.held.retain(|segment| named.contains(segment));
        let (epoch, applied, chain) = (manifest.epoch, manifest.tail_first - 1, manifest.tail_chain);
        self.resume(Place { epoch, applied, chain, goal: None }, &manifest)
    }

    fn read_batch(&mut self, sealed: SealedBatch) -> Result<(), FeedFault> {
        let keys = self.keys.as_ref().ok_or(FeedFault::UnknownKey)?;
        let batch = sealed.verify(keys, self.view.feed())?;
        match batch.epoch.cmp(&self.newest_epoch) {
            Ordering::Less => return Err(FeedFault::OldEpoch),
            Ordering::Equal => {}
            Ordering::Greater => {
                self.newest_epoch = batch.epoch;
                self.view.apply(&batch.records);
                return Err(FeedFault::NewEpoch);
            }
        }
        match self.place.filter(|place| place.epoch == batch.epoch) {
            Some(place) => self.continue_with(place, &batch),
            None => {
                self.view.apply(&batch.records);
                Ok(())
            }
        }
    }

    fn continue_with(&mut self, mut place: Place, batch: &Batch) -> Result<(), FeedFault> {
        if batch.last <= place.applied {
            self.counts.duplicates += 1;
            return Ok(());
        }
        self.view.apply(&batch.records);
        let known = (place.applied + 1).checked_sub(batch.first).ok_or(FeedFault::Gap)?;
        for record in batch.records.iter().skip(usize::try_from(known).unwrap_or(usize::MAX)) {
            place.chain = chain::extend(&place.chain, record);
            place.applied += 1;
            if place.goal.is_some_and(|goal| goal.head == place.applied && goal.chain != place.chain) {
                return Err(FeedFault::BrokenChain);
            }
        }
        if place.applied != batch.last || place.chain != batch.chain {
            return Err(FeedFault::BrokenChain);
        }
        self.bundles.hear(batch);
        self.stand(place, batch.as_of_ms);
        Ok(())
    }

    /// Takes a place, and says so in the view once nothing is missing up to it.
    fn stand(&mut self, mut place: Place, as_of_ms: u64) {
        let reached = place.goal.filter(|goal| goal.head <= place.applied);
        if reached.is_some() {
            place.goal = None;
        }
        if place.goal.is_none() {
            let as_of_ms = as_of_ms.max(reached.map_or(0, |goal| goal.as_of_ms));
            self.view.note_as_of(place.position(), as_of_ms);
        }
        self.place = Some(place);
    }
}

impl Place {
    fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.applied }
    }

    /// Whether the tail of this manifest can be read from here.
    fn continues(&self, manifest: &Manifest) -> bool {
        self.epoch == manifest.epoch && self.applied >= manifest.tail_first - 1
    }
}

impl Goal {
    fn of(manifest: &Manifest) -> Self {
        Self { head: manifest.head, chain: manifest.chain, as_of_ms: manifest.as_of }
    }
}

impl Bundles {
    fn read(&mut self, manifest: &Manifest) {
        self.keys = manifest.jwks_sha256;
        self.policy = manifest.policy_sha256;
        self.manifest_head = manifest.head;
        (self.known, self.just_read) = (true, true);
        if self.keys.is_some() {
            self.keys_wanted = false;
        }
    }

    fn hear(&mut self, batch: &Batch) {
        for record in &batch.records {
            self.keys_wanted |= record.kind == Kind::Keys;
            if matches!(record.kind, Kind::Keys | Kind::Policy) {
                self.announced = self.announced.max(batch.last);
            }
        }
    }

    fn need_manifest(&self) -> bool {
        self.announced > self.manifest_head && !self.just_read
    }

    fn errands(&self) -> impl Iterator<Item = Command> {
        let keys = match self.keys {
            Some(name) => (self.keys_held != Some(name)).then_some(Command::FetchKeys(Some(name))),
            None => (self.known && self.keys_wanted).then_some(Command::FetchKeys(None)),
        };
        let policy = self.policy.filter(|name| self.policy_held != Some(*name)).map(Command::FetchPolicy);
        // The policy first: with the keys a guard begins to accept, and should know by then what roles mean.
        policy.into_iter().chain(keys)
    }
}

#[cfg(test)]
mod tests;
