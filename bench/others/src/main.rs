// SPDX-License-Identifier: Apache-2.0
//! What other routers keep who caches what in, measured as kvroute-bench-beside measures ours: the same keys, events,
//! holders and lookups in the same order, on one thread, with the same clocks. One structure a process:
//!
//!     kvroute-bench-others smg|dynamo|dynamo-concurrent [BLOCKS]
//!
//! What an event or a lookup is made of is made before the clock starts. Memory is what the system's heap counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;

use dynamo_kv_router::indexer::WorkerTask;
use dynamo_kv_router::protocols::{
    ExternalSequenceBlockHash, KvCacheEvent, KvCacheEventData, KvCacheRemoveData, KvCacheStoreData,
    KvCacheStoredBlockData,
};
use dynamo_kv_router::{
    ConcurrentRadixTreeCompressed, LocalBlockHash, RadixTree, RouterEvent, SyncIndexer,
};
use kv_index::{ChainBlockMap, ChainIndex, ContentHash, SequenceHash, StoredBlock};

// ---- The shape, as in bench_beside.c ---------------------------------------------------------------

const WORKERS: usize = 64;
const RUN: usize = 32;
const PATH: usize = 2 * RUN;
const HOLDERS: usize = 4; // of a path's first run
const WHOLE: usize = 2; // of them have both
const WARM: usize = 4096;
const SAMPLES: usize = 200_000;
const CHUNK: usize = 4096; // events made at a time

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn holder(path: usize, k: usize) -> usize {
    (path * 7 + k * 13) % WORKERS
}

/// A block's content: its position's hash, mixed once more. Both are looked up, and both are unique.
fn content(hash: u64) -> u64 {
    hash.wrapping_mul(0xd6e8_feb8_6659_fd93)
}

struct Event {
    worker: usize,
    from: usize, // of the hashes
    behind: bool, // the block before
    stored: bool,
}

// ---- Clocks and memory ---------------------------------------------------------------------------

struct Counted;
static HEAP: AtomicUsize = AtomicUsize::new(0);

fn usable(p: *mut u8) -> usize {
    unsafe { libc::malloc_usable_size(p.cast()) + size_of::<usize>() }
}

unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, l: Layout) -> *mut u8 {
        let p = System.alloc(l);
        HEAP.fetch_add(usable(p), Ordering::Relaxed);
        p
    }
    unsafe fn dealloc(&self, p: *mut u8, l: Layout) {
        HEAP.fetch_sub(usable(p), Ordering::Relaxed);
        System.dealloc(p, l);
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

fn heap() -> f64 {
    HEAP.load(Ordering::Relaxed) as f64
}

fn cpu_ns(clock: libc::clockid_t) -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(clock, &mut t) };
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}

// ---- The structures ------------------------------------------------------------------------------

trait Index {
    /// Applies the events; nanoseconds of CPU that it took.
    fn apply(&mut self, events: &[Event], hashes: &[u64]) -> f64;
    /// Nanoseconds that finding the holders of a request took, and how many there are.
    fn find(&self, request: &[u64]) -> (f64, usize);
}

struct Smg {
    index: ChainIndex,
    workers: Vec<(u32, ChainBlockMap)>,
}

impl Smg {
    fn new() -> Self {
        let index = ChainIndex::with_max_workers(WORKERS);
        let id = |i| index.intern_worker(&format!("worker-{i:04}")).expect("a worker is refused");
        let workers = (0..WORKERS).map(|i| (id(i), ChainBlockMap::new())).collect();
        Self { index, workers }
    }
}

impl Index for Smg {
    fn apply(&mut self, events: &[Event], hashes: &[u64]) -> f64 {
        let keys = |e: &Event| hashes[e.from..e.from + RUN].to_vec();
        let made: Vec<(Vec<StoredBlock>, Vec<SequenceHash>)> = events
            .iter()
            .map(|e| {
                let block = |h: &u64| StoredBlock {
                    seq_hash: SequenceHash(*h),
                    content_hash: ContentHash(content(*h)),
                };
                let (stored, removed) = if e.stored { (keys(e), vec![]) } else { (vec![], keys(e)) };
                (stored.iter().map(block).collect(), removed.into_iter().map(SequenceHash).collect())
            })
            .collect();
        let start = cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID);
        for (e, (stored, removed)) in events.iter().zip(&made) {
            let (id, map) = &mut self.workers[e.worker];
            let parent = e.behind.then(|| SequenceHash(hashes[e.from - 1]));
            if e.stored {
                self.index.apply_stored(*id, stored, parent, map).expect("an event is refused");
            } else {
                self.index.apply_removed(*id, removed, map);
            }
        }
        cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID) - start
    }

    fn find(&self, request: &[u64]) -> (f64, usize) {
        let mut n = 0;
        let start = Instant::now();
        self.index.score_into(request, |h| *h, false, |_, score| n += usize::from(score > 0));
        (start.elapsed().as_nanos() as f64, black_box(n))
    }
}

fn dynamo_event(e: &Event, id: u64, hashes: &[u64]) -> RouterEvent {
    let keys = &hashes[e.from..e.from + RUN];
    let data = if e.stored {
        KvCacheEventData::Stored(KvCacheStoreData {
            parent_hash: e.behind.then(|| ExternalSequenceBlockHash(hashes[e.from - 1])),
            start_position: None,
            blocks: keys
                .iter()
                .map(|h| KvCacheStoredBlockData {
                    block_hash: ExternalSequenceBlockHash(*h),
                    tokens_hash: LocalBlockHash(content(*h)),
                    mm_extra_info: None,
                })
                .collect(),
        })
    } else {
        let block_hashes = keys.iter().map(|h| ExternalSequenceBlockHash(*h)).collect();
        KvCacheEventData::Removed(KvCacheRemoveData { block_hashes })
    };
    RouterEvent::new(e.worker as u64, KvCacheEvent { event_id: id, data, dp_rank: 0 })
}

struct Dynamo {
    tree: RadixTree,
    events: u64,
}

impl Index for Dynamo {
    fn apply(&mut self, events: &[Event], hashes: &[u64]) -> f64 {
        let first = self.events;
        self.events += events.len() as u64;
        let made: Vec<_> =
            events.iter().zip(first..).map(|(e, id)| dynamo_event(e, id, hashes)).collect();
        let start = cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID);
        for e in made {
            self.tree.apply_event(e).expect("an event is refused");
        }
        cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID) - start
    }

    fn find(&self, request: &[u64]) -> (f64, usize) {
        let sequence: Vec<_> = request.iter().map(|h| LocalBlockHash(*h)).collect();
        let start = Instant::now();
        let found = self.tree.find_matches(sequence, false);
        (start.elapsed().as_nanos() as f64, black_box(found).scores.len())
    }
}

/// The one that Dynamo takes by default. Its events are applied by a thread of its own: CPU of all threads but
/// the caller's.
struct DynamoConcurrent {
    tree: Arc<ConcurrentRadixTreeCompressed>,
    queue: flume::Sender<WorkerTask>,
    events: u64,
}

impl DynamoConcurrent {
    fn new() -> Self {
        let tree = Arc::new(ConcurrentRadixTreeCompressed::new());
        let (queue, tasks) = flume::unbounded();
        let shared = tree.clone();
        std::thread::spawn(move || shared.worker(tasks, None));
        Self { tree, queue, events: 0 }
    }
}

fn others_ns() -> f64 {
    cpu_ns(libc::CLOCK_PROCESS_CPUTIME_ID) - cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

impl Index for DynamoConcurrent {
    fn apply(&mut self, events: &[Event], hashes: &[u64]) -> f64 {
        let (resp, done) = tokio::sync::oneshot::channel();
        let mut resp = Some(resp);
        let made: Vec<_> = events
            .iter()
            .enumerate()
            .map(|(i, e)| {
                let event = dynamo_event(e, self.events + i as u64, hashes);
                match (i + 1 == events.len()).then(|| resp.take()).flatten() {
                    Some(resp) => WorkerTask::EventWithAck { event, resp },
                    None => WorkerTask::Event(event),
                }
            })
            .collect();
        self.events += events.len() as u64;
        let start = others_ns();
        for task in made {
            self.queue.send(task).expect("the worker has ended");
        }
        assert!(done.blocking_recv().expect("the worker has ended"), "an event is refused");
        others_ns() - start
    }

    fn find(&self, request: &[u64]) -> (f64, usize) {
        let sequence: Vec<_> = request.iter().map(|h| LocalBlockHash(*h)).collect();
        let start = Instant::now();
        let found = SyncIndexer::find_matches(&*self.tree, &sequence, false);
        (start.elapsed().as_nanos() as f64, black_box(found).scores.len())
    }
}

// ---- The measurements ----------------------------------------------------------------------------

fn row(what: &str, value: f64, unit: &str) {
    println!("{what:<58} {value:>10.2} {unit}");
}

fn apply_all(ix: &mut dyn Index, hashes: &[u64], events: impl Iterator<Item = Event>) -> f64 {
    let mut took = 0.0;
    let mut events = events.peekable();
    while events.peek().is_some() {
        let chunk: Vec<_> = events.by_ref().take(CHUNK).collect();
        took += ix.apply(&chunk, hashes);
    }
    took
}

fn build(ix: &mut dyn Index, hashes: &[u64], paths: usize) {
    let before = heap();
    let (mut fresh, mut known) = (0.0, 0.0);
    for k in 0..HOLDERS {
        let runs = if k < WHOLE { 2 } else { 1 };
        let stored = (0..runs * paths).map(|i| Event {
            worker: holder(i / runs, k),
            from: (i / runs * 2 + i % runs) * RUN,
            behind: i % runs == 1,
            stored: true,
        });
        *(if k == 0 { &mut fresh } else { &mut known }) += apply_all(ix, hashes, stored);
        eprintln!("  built for {} of {HOLDERS} holders", k + 1);
    }
    let blocks = (paths * PATH) as f64;
    row("events, STORED of new blocks, 32 an event", blocks * 1e3 / fresh, "M blocks/s");
    let more = (paths * RUN * (HOLDERS + WHOLE - 2)) as f64;
    row("events, STORED of blocks that others hold", more * 1e3 / known, "M blocks/s");
    row("memory, as the heap counts it", (heap() - before) / blocks, "B/block");
}

fn find(ix: &dyn Index, hashes: &[u64], paths: usize, what: &str) {
    let mut state = 42;
    let mut times: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let at = random(&mut state) as usize % paths;
            let request: Vec<_> =
                hashes[at * PATH..(at + 1) * PATH].iter().map(|h| content(*h)).collect();
            let (took, n) = ix.find(&request);
            assert!(n == HOLDERS, "{n} holders");
            took
        })
        .collect();
    let mut clock: Vec<_> = (0..1001)
        .map(|_| {
            let start = Instant::now();
            start.elapsed().as_nanos() as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    clock.sort_by(f64::total_cmp);
    let quantile = |q: f64| times[(q * (SAMPLES - 1) as f64) as usize] - clock[500];
    row(&format!("match of 64 blocks, {what}, p50"), quantile(0.5), "ns");
    row(&format!("match of 64 blocks, {what}, p99"), quantile(0.99), "ns");
}

fn drop_second_halves(ix: &mut dyn Index, hashes: &[u64], paths: usize) {
    let removed = (0..paths).map(|i| Event {
        worker: holder(i, 0),
        from: i * PATH + RUN,
        behind: false,
        stored: false,
    });
    let took = apply_all(ix, hashes, removed);
    row("events, REMOVED, 32 an event", (paths * RUN) as f64 * 1e3 / took, "M blocks/s");
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (mut ix, name): (Box<dyn Index>, _) = match words.first().map(String::as_str) {
        Some("smg") => (Box::new(Smg::new()), "SMG, kv-index 2.0.0: ChainIndex"),
        Some("dynamo") => (
            Box::new(Dynamo { tree: RadixTree::new(), events: 0 }),
            "NVIDIA Dynamo, dynamo-kv-router 1.6.1: RadixTree",
        ),
        Some("dynamo-concurrent") => (
            Box::new(DynamoConcurrent::new()),
            "NVIDIA Dynamo, dynamo-kv-router 1.6.1: ConcurrentRadixTreeCompressed",
        ),
        _ => {
            eprintln!("usage: kvroute-bench-others smg|dynamo|dynamo-concurrent [BLOCKS]");
            std::process::exit(2);
        }
    };
    let blocks = words.get(1).map_or(Ok(1_000_000), |w| w.parse()).unwrap_or_else(|_| {
        eprintln!("BLOCKS is a number");
        std::process::exit(2);
    });
    let paths = blocks / PATH;
    let mut state = 1;
    let hashes: Vec<u64> = (0..paths * PATH).map(|_| random(&mut state)).collect();
    println!("{name}");
    build(&mut *ix, &hashes, paths);
    find(&*ix, &hashes, paths, "drawn from all");
    find(&*ix, &hashes, WARM.min(paths), "drawn from 4,096");
    drop_second_halves(&mut *ix, &hashes, paths);
    std::process::exit(0); // taking it all apart isn't measured
}
