//! Small models, kept and loaded again.

use std::{
    fs::FileTimes,
    io::Cursor,
    sync::Barrier,
    time::{Duration, SystemTime},
};

use engine::{
    CacheType, Token,
    gguf::TensorType,
    testing::{Llama, Vocabulary},
};
use kernels::Isa;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::model::{Limits, Model, Runner};

/// A folder of models, and one for what is packed of them.
struct Bed {
    folder: TempDir,
    files: PackedFiles,
}

/// A model, and whether it was mapped.
struct Loaded {
    model: Arc<Model>,
    mapped: bool,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = PackedFiles { folder: folder.path().join("packed"), most_bytes: u64::MAX };
        Self { folder, files }
    }

    /// One with a model `a`.
    fn with(model: &Llama) -> Self {
        let bed = Self::new();
        bed.put("a", model);
        bed
    }

    fn model(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).with_extension("gguf")
    }

    fn put(&self, name: &str, model: &Llama) {
        fs::write(self.model(name), model.build()).unwrap();
    }

    fn load(&self, name: &str) -> Loaded {
        let place = Place::of(&self.files, &self.model(name)).unwrap();
        let file = gguf::File::open(&self.model(name)).unwrap();
        let (model, unkept) = Model::load_kept(&file, 2, place).unwrap();
        let mapped = unkept.is_none();
        if let Some(unkept) = unkept {
            unkept.keep(|matrix, bytes, to| model.copy_packed(matrix, bytes, to));
        }
        Loaded { model: Arc::new(model), mapped }
    }

    /// Loads it, which has to pack it, and again, which must not.
    fn is_packed_and_kept(&self, name: &str, what: &str) {
        let packed = self.load(name);
        assert!(!packed.mapped, "{what}");
        assert_eq!(packed.logits(), self.logits(name), "{what}");
        let mapped = self.load(name);
        assert!(mapped.mapped, "{what}");
        assert_eq!(mapped.logits(), packed.logits(), "{what}");
    }

    /// What the model gives that no packed file has to do with.
    fn logits(&self, name: &str) -> Vec<u32> {
        let file = gguf::File::open(&self.model(name)).unwrap();
        Loaded { model: Arc::new(Model::load(&file, 1).unwrap()), mapped: false }.logits()
    }

    fn kept(&self, name: &str) -> PathBuf {
        Place::of(&self.files, &self.model(name)).unwrap().path
    }

    /// What lies in the folder of packed files.
    fn all(&self) -> Vec<PathBuf> {
        let mut all: Vec<_> = fs::read_dir(&self.files.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    }
}

impl Loaded {
    /// To the bit.
    fn logits(&self) -> Vec<u32> {
        let limits = Limits { slots: 1, context: 16, threads: 2, isa: Isa::best(), cache: CacheType::F16 };
        let mut runner = Runner::new(Arc::clone(&self.model), limits).unwrap();
        let tokens: Vec<Token> =
            (0..5).map(|at| Token { slot: 0, position: at, id: 7 + at as u32, logits: true }).collect();
        runner.step(&tokens).iter().map(|logit| logit.to_bits()).collect()
    }
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[test]
fn what_one_load_packed_the_next_maps_and_gives_the_same_to_the_bit() {
    let mix = Llama { finer: Some(TensorType::Q6_K), layers: 5, ..Llama::of("llama", TensorType::Q4_K) };
    let tied = Llama { tied: true, vocabulary: Vocabulary::Bpe, ..Llama::of("llama", TensorType::Q8_0) };
    let models = [
        Llama::default(),
        tied,
        mix,
        Llama::of("qwen3moe", TensorType::F16),
        Llama::of("phi3", TensorType::Q4_K),
        Llama::of("minicpm3", TensorType::Q8_0),
        Llama::of("mamba", TensorType::Q8_0),
    ];
    for model in models {
        let bed = Bed::with(&model);
        bed.is_packed_and_kept("a", model.architecture);
        assert_eq!(bed.all(), [bed.kept("a")], "nothing else is left");
    }
}

#[test]
fn a_name_shows_its_model_and_is_no_other_s() {
    let shown = name("/models/Llama 3.2 1B.gguf");
    assert!(shown.starts_with("Llama-3.2-1B-") && shown.ends_with(".packed"), "{shown}");
    assert_ne!(shown, name("/others/Llama 3.2 1B.gguf"));
    assert!(name(&format!("/{}.gguf", "ü".repeat(1_000))).len() < 100);
}

#[test]
fn a_model_that_was_changed_is_packed_anew() {
    let (model, other) = (Llama::default(), Llama { seed: 2, ..Llama::default() });
    let bed = Bed::with(&model);
    let path = bed.model("a");
    bed.is_packed_and_kept("a", "at first");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();

    set_modified(&path, modified - Duration::from_nanos(1));
    bed.is_packed_and_kept("a", "another time");

    let mut longer = model.build();
    longer.extend([0; 32]);
    fs::write(&path, longer).unwrap();
    set_modified(&path, modified);
    bed.is_packed_and_kept("a", "longer");

    fs::write(&path, other.build()).unwrap();
    set_modified(&path, modified);
    bed.is_packed_and_kept("a", "other weights, and the time put back");

    bed.put("b", &model);
    set_modified(&bed.model("b"), modified);
    fs::rename(bed.model("b"), &path).unwrap();
    bed.is_packed_and_kept("a", "another file in its place");

    // By the system's own time of change alone, once its clock has gone on.
    let seen = Seen::of(&path).unwrap();
    while Seen::of(&path).unwrap() == seen {
        set_modified(&path, modified);
    }
    bed.is_packed_and_kept("a", "touched");
    assert_eq!(bed.all().len(), 1, "one file for each model");
}

#[test]
fn where_a_file_system_tells_nothing_head_and_spots_still_do() {
    let bed = Bed::with(&Llama::default());
    let seen = Seen::of(&bed.model("a")).unwrap();
    let key = |bytes: Vec<u8>| seen.key(&gguf::File::read(bytes.into()).unwrap());
    let bytes = Llama::default().build();
    let same = key(bytes.clone());
    assert_eq!(key(bytes.clone()), same);
    assert_ne!(key(Llama { seed: 2, ..Llama::default() }.build()), same, "other weights");
    assert_ne!(key(Llama { context: 255, ..Llama::default() }.build()), same, "another head");
    let mut last = bytes;
    *last.last_mut().unwrap() ^= 1;
    assert_ne!(key(last), same, "the last byte");
}

#[test]
fn a_model_that_is_changed_or_unloaded_while_it_is_kept_is_not() {
    let bed = Bed::with(&Llama::default());
    let unkept = || {
        let place = Place::of(&bed.files, &bed.model("a")).unwrap();
        let file = gguf::File::open(&bed.model("a")).unwrap();
        let (model, unkept) = Model::load_kept(&file, 1, place).unwrap();
        (model, unkept.unwrap())
    };
    let (model, first) = unkept();
    bed.put("a", &Llama { seed: 2, ..Llama::default() });
    first.keep(|matrix, bytes, to| model.copy_packed(matrix, bytes, to));
    assert!(bed.all().is_empty());
    let (model, second) = unkept();
    second.keep(|matrix, bytes, to| if matrix == 3 { None } else { model.copy_packed(matrix, bytes, to) });
    assert!(bed.all().is_empty());
    bed.is_packed_and_kept("a", "afterwards");
}

/// Pieces that are full, and matrices that reach over their ends.
#[test]
fn matrices_of_many_pieces_are_kept_whole() {
    let model = Llama { width: 256, heads: 4, feed_forward: 4_112, layers: 1, ..Llama::default() };
    let bed = Bed::with(&model);
    let bytes = |model: &Llama| model.build().len();
    assert!(bytes(&model) > 3 * PIECE && !bytes(&model).is_multiple_of(PIECE));
    bed.is_packed_and_kept("a", "large");
}

#[test]
fn a_packed_file_that_is_not_whole_is_written_anew() {
    let bed = Bed::with(&Llama::default());
    bed.load("a");
    let whole = fs::read(bed.kept("a")).unwrap();
    let long = whole.iter().copied().chain([0]).collect();
    let cut = |len: usize| whole[..len].to_vec();
    let foreign = vec![0x5a; whole.len()];
    for bytes in [cut(0), cut(15), cut(100), cut(4_096), cut(whole.len() - 1), long, foreign] {
        let what = format!("{} bytes of {}", bytes.len(), whole.len());
        fs::write(bed.kept("a"), bytes).unwrap();
        bed.is_packed_and_kept("a", &what);
        assert!(fs::read(bed.kept("a")).unwrap() == whole, "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_packed_file_with_a_byte_changed_anywhere_is_never_used(at: prop::sample::Index, head: bool, change in 1..=u8::MAX) {
        let bed = Bed::with(&Llama { layers: 1, ..Llama::default() });
        bed.load("a");
        let mut bytes = fs::read(bed.kept("a")).unwrap();
        let len = if head { 4_096 } else { bytes.len() };
        bytes[at.index(len)] ^= change;
        fs::write(bed.kept("a"), bytes).unwrap();
        let loaded = bed.load("a");
        prop_assert!(!loaded.mapped);
        prop_assert!(bed.load("a").mapped);
    }

    #[test]
    fn whatever_a_file_begins_with_says_a_model_or_none(mut bytes in prop::collection::vec(any::<u8>(), 0..200), is_ours: bool) {
        if is_ours {
            let ours = Head::new("/a", [1; 32], [].into_iter()).unwrap().with_sums(&[]);
            let shared = bytes.len().min(40);
            bytes[..shared].copy_from_slice(&ours[..shared]);
        }
        if let Some(Some(path)) = head::source(Cursor::new(&bytes)) {
            prop_assert!(is_ours && path.as_os_str().len() <= MAX_PATH);
        }
    }
}

#[test]
fn a_packed_file_says_which_model_it_was_made_of() {
    let bed = Bed::with(&Llama::default());
    bed.load("a");
    let source = head::source(File::open(bed.kept("a")).unwrap());
    assert_eq!(source, Some(Some(fs::canonicalize(bed.model("a")).unwrap())));
    assert_eq!(head::source(Cursor::new(b"GGUF")), None);
}

#[test]
fn a_folder_that_cannot_be_written_to_keeps_nothing_and_loads() {
    let mut bed = Bed::with(&Llama::default());
    bed.files.folder = bed.folder.path().join("a.gguf");
    for _ in 0..2 {
        let loaded = bed.load("a");
        assert!(!loaded.mapped);
        assert_eq!(loaded.logits(), bed.logits("a"));
    }
}

#[test]
fn files_that_were_not_used_for_longest_go_first() {
    let mut bed = Bed::with(&Llama::default());
    bed.put("b", &Llama::default());
    bed.put("c", &Llama::default());
    bed.load("a");
    let bytes = fs::metadata(bed.kept("a")).unwrap().len();
    bed.files.most_bytes = 2 * bytes;
    bed.load("b");
    assert!(bed.load("a").mapped, "two have room, and this was used since");
    bed.load("c");
    let mut left = [bed.kept("a"), bed.kept("c")];
    left.sort();
    assert_eq!(bed.all(), left);

    bed.files.most_bytes = bytes;
    assert!(bed.load("a").mapped);
    assert_eq!(bed.all(), [bed.kept("a")], "a smaller bound holds at the next load");
    bed.files.most_bytes = bytes - 1;
    assert!(!bed.load("a").mapped, "more than may be kept");
    bed.load("b");
    assert_eq!(bed.all(), [bed.kept("a")], "nothing makes room for what is not kept");
}

#[test]
fn files_of_models_that_are_gone_and_what_was_never_finished_go() {
    let bed = Bed::with(&Llama::default());
    bed.put("b", &Llama::default());
    bed.load("a");
    let begun = fs::read(bed.kept("a")).unwrap();
    let [old, new, theirs] =
        ["old.unfinished", "new.unfinished", "theirs.packed"].map(|name| bed.files.folder.join(name));
    fs::write(&old, &begun[..5_000]).unwrap();
    fs::write(&new, &begun[..5_000]).unwrap();
    fs::write(&theirs, "no packed file").unwrap();
    let hours_ago = SystemTime::now() - Duration::from_secs(7_200);
    [&old, &theirs].into_iter().for_each(|path| set_modified(path, hours_ago));
    fs::remove_file(bed.model("a")).unwrap();
    bed.load("b");
    let mut left = [bed.kept("b"), new, theirs];
    left.sort();
    assert_eq!(bed.all(), left);
}

#[test]
fn loads_at_once_keep_one_file() {
    let bed = Bed::with(&Llama::default());
    let together = Barrier::new(4);
    let expected = bed.logits("a");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                together.wait();
                for _ in 0..4 {
                    assert_eq!(bed.load("a").logits(), expected);
                }
            });
        }
    });
    assert!(bed.load("a").mapped);
    assert_eq!(bed.all(), [bed.kept("a")]);
}

#[test]
fn a_file_that_others_removed_stays_with_who_computes_with_it() {
    let bed = Bed::with(&Llama::default());
    bed.load("a");
    let mapped = bed.load("a");
    fs::remove_file(bed.kept("a")).unwrap();
    bed.load("a");
    assert!(mapped.mapped);
    assert_eq!(mapped.logits(), bed.logits("a"));
}
