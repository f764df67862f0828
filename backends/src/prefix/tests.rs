//! What the index may say, and what it may never.

use std::collections::{HashMap, HashSet};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{Input, Message, Part, Prompt};

const HOUR: Duration = Duration::from_secs(3600);

fn index() -> (Arc<Prefixes>, Instant) {
    let epoch = Instant::now();
    (Arc::new(Prefixes::new(11, epoch)), epoch)
}

fn text(text: &str) -> Input {
    Input::Prompts(vec![Prompt::Text(text.to_owned())])
}

/// A text that no other number gives any block of.
fn unlike(nth: usize, bytes: usize) -> String {
    let text: String = (0..bytes / 17 + 1).map(|word| format!("{nth:08x}{word:08x} ")).collect();
    text[..bytes].to_owned()
}

fn turn(role: &str, text: &str) -> Message {
    Message { role: role.to_owned(), content: vec![Part::Text(text.to_owned())], ..Message::default() }
}

fn chat(messages: Vec<Message>) -> Input {
    Input::Chat { messages, tools: None, template_kwargs: None }
}

fn of<'a>(team: &'a str) -> Asker<'a> {
    Asker { team: Some(team), session: None }
}

fn asked(index: &Arc<Prefixes>, asker: Asker<'_>, input: &Input, tokens: u64, now: Instant) -> Prefix {
    Arc::clone(index).look_up(index.chain(asker, input, tokens).expect("a chain"), now)
}

#[test]
fn the_next_turn_of_a_conversation_is_known_where_the_last_one_went_up_to_its_last_whole_block() {
    let (index, now) = index();
    let (here, elsewhere) = (PlaceId::fresh(), PlaceId::fresh());
    let mut turns = vec![turn("system", &unlike(1, 1_000)), turn("user", &unlike(2, 3_000))];
    let first = asked(&index, of("a"), &chat(turns.clone()), 1_000, now);
    assert!(first.is_new());
    first.served_by(here, HOUR, now);
    turns.extend([turn("assistant", &unlike(3, 3_000)), turn("user", &unlike(4, 1_000))]);
    let second = asked(&index, of("a"), &chat(turns), 2_000, now);
    // 4,000 of 8,000 bytes, and 2,000 tokens in all; a block has 256 bytes.
    let seen = second.tokens_at(here);
    assert!((1_000 - 64..=1_000).contains(&seen), "{seen}");
    assert_eq!((second.tokens_at(elsewhere), second.is_new()), (0, false));
}

#[test]
fn a_prompt_is_no_longer_known_when_its_place_has_had_time_to_drop_it() {
    let (index, now) = index();
    let (short, long) = (PlaceId::fresh(), PlaceId::fresh());
    let input = text(&unlike(1, 4_096));
    let prefix = asked(&index, of("a"), &input, 1_000, now);
    prefix.served_by(short, Duration::from_secs(300), now);
    prefix.served_by(long, HOUR, now);
    let after = |seconds| {
        let prefix = asked(&index, of("a"), &input, 1_000, now + Duration::from_secs(seconds));
        (prefix.tokens_at(short), prefix.tokens_at(long))
    };
    assert_eq!(after(290), (1_000, 1_000));
    assert_eq!(after(310), (0, 1_000));
    assert_eq!(after(3_610), (0, 0));
}

#[test]
fn another_role_another_tool_or_another_picture_is_another_prompt() {
    let (index, now) = index();
    let place = PlaceId::fresh();
    let picture = |digest| Part::Other { kind: "image_url".into(), digest, held: None };
    let input = |role: &str, tools: &str, digest| {
        let looks = Message { role: role.into(), content: vec![picture(digest)], ..Message::default() };
        let messages = vec![looks, turn("user", &unlike(1, 2_000))];
        Input::Chat { messages, tools: Some(tools.into()), template_kwargs: None }
    };
    asked(&index, of("a"), &input("user", "[1]", 7), 500, now).served_by(place, HOUR, now);
    let knows = |input: Input| !asked(&index, of("a"), &input, 500, now).is_new();
    assert!(knows(input("user", "[1]", 7)));
    for other in [input("system", "[1]", 7), input("user", "[2]", 7), input("user", "[1]", 8)] {
        assert!(!knows(other));
    }
    assert_ne!(crate::digest([b"ab".as_slice(), b"c"]), crate::digest([b"c".as_slice(), b"ab"]));
}

#[test]
fn a_session_that_a_place_has_served_counts_as_the_whole_prompt_there_and_for_its_team_alone() {
    let (index, now) = index();
    let place = PlaceId::fresh();
    let in_session = |team| Asker { team: Some(team), session: Some("s-1") };
    asked(&index, in_session("a"), &text(&unlike(1, 1_000)), 250, now).served_by(place, HOUR, now);
    let other = text(&unlike(2, 2_000));
    assert_eq!(asked(&index, in_session("a"), &other, 500, now).tokens_at(place), 500);
    assert!(asked(&index, in_session("b"), &other, 500, now).is_new());
    assert!(asked(&index, of("a"), &other, 500, now).is_new());
}

#[test]
fn a_place_is_crowded_with_more_than_a_quarter_and_one_above_its_share() {
    assert!(!is_crowded(1, 1, 4) && is_crowded(2, 2, 4));
    assert!(!is_crowded(11, 32, 4) && is_crowded(12, 32, 4));
    assert!(!is_crowded(9_000, 9_000, 1), "one alone never is");
    assert!(!is_crowded(0, 0, 0) && is_crowded(u64::MAX, 4, 4));
}

#[test]
fn a_conversation_has_one_name_from_its_first_question_on_and_each_team_its_own() {
    let mut turns = vec![turn("system", "Be brief."), turn("user", "hello")];
    let name = |team, session, turns: &[Message]| conversation(Asker { team, session }, &chat(turns.to_vec()));
    let first = name(Some("a"), None, &turns).unwrap();
    turns.extend([turn("assistant", "hi"), turn("user", "what now?")]);
    assert_eq!(name(Some("a"), None, &turns).as_deref(), Some(&*first));
    assert_eq!(first.len(), 16);
    assert_ne!(name(Some("b"), None, &turns).as_deref(), Some(&*first));
    assert_ne!(name(Some("a"), Some("s"), &turns), name(Some("b"), Some("s"), &turns));
    assert_eq!(name(Some("a"), Some("s"), &turns), name(Some("a"), Some("s"), &turns[..1]));
    assert_eq!(name(Some("a"), None, &turns[..1]), None);
}

#[test]
fn what_is_no_single_prompt_or_too_short_a_one_has_no_chain() {
    let (index, _) = index();
    let none = |input: &Input, session| index.chain(Asker { team: None, session }, input, 9).is_none();
    assert!(none(&text("hello"), None));
    assert!(!none(&text("hello"), Some("s")));
    assert!(none(&Input::Prompts(vec![Prompt::Text(unlike(1, 999)); 2]), Some("s")));
    assert!(none(&Input::Texts(vec![unlike(1, 999)]), Some("s")));
}

#[test]
fn of_a_million_prefixes_nearly_all_are_known_and_the_table_has_not_grown() {
    const PREFIXES: usize = 1_000_000;
    let (index, now) = index();
    let places: Vec<PlaceId> = (0..8).map(|_| PlaceId::fresh()).collect();
    let prefix = |nth: usize| asked(&index, of("a"), &text(&unlike(nth, 256)), 64, now);
    for nth in 0..PREFIXES {
        prefix(nth).served_by(places[nth % 8], HOUR, now);
    }
    let known = (0..PREFIXES).step_by(10).filter(|nth| prefix(*nth).tokens_at(places[nth % 8]) == 64).count();
    let wrong = (0..PREFIXES).step_by(10).filter(|nth| prefix(*nth).tokens_at(places[(nth + 1) % 8]) > 0).count();
    println!("{known} of {} known, {} MiB", PREFIXES / 10, Prefixes::BYTES >> 20);
    assert!(known * 100 >= 97 * PREFIXES / 10, "{known}");
    assert_eq!((wrong, Prefixes::BYTES), (0, 16 << 20));
}

#[test]
fn many_writers_and_readers_at_once_never_make_up_an_entry() {
    let (index, now) = index();
    let places: Vec<PlaceId> = (0..4).map(|_| PlaceId::fresh()).collect();
    std::thread::scope(|scope| {
        for (thread, place) in places.iter().enumerate() {
            let (index, places) = (&index, &places);
            scope.spawn(move || {
                for nth in 0..2_000 {
                    let own = asked(index, of("a"), &text(&unlike(nth * 4 + thread, 1_024)), 256, now);
                    own.served_by(*place, HOUR, now);
                    let other = asked(index, of("a"), &text(&unlike(nth * 4 + (thread + 1) % 4, 1_024)), 256, now);
                    let only = places[(thread + 1) % 4];
                    assert!(places.iter().all(|place| *place == only || other.tokens_at(*place) == 0));
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Against a plain map from each team's prefix of whole blocks to the places that were sent it.
    #[test]
    fn no_place_is_ever_told_for_a_prefix_that_this_team_did_not_send_it(
        steps in vec((0..3_usize, 0..5_usize, vec(0..4_usize, 1..12), any::<bool>()), 1..60),
    ) {
        const PIECE: usize = 256;
        const TEAMS: [&str; 3] = ["a", "b", "a b"];
        let (index, now) = index();
        let places: Vec<PlaceId> = (0..5).map(|_| PlaceId::fresh()).collect();
        let mut sent: HashMap<(usize, Vec<usize>), HashSet<usize>> = HashMap::new();
        for (team, place, pieces, inserts) in steps {
            let prompt: String = pieces.iter().map(|piece| unlike(*piece, PIECE)).collect();
            let tokens = (pieces.len() * 64) as u64;
            let prefix = asked(&index, of(TEAMS[team]), &text(&prompt), tokens, now);
            for (at, id) in places.iter().enumerate() {
                let was = |count: &usize| sent.get(&(team, pieces[..*count].to_vec())).is_some_and(|all| all.contains(&at));
                let longest = (1..=pieces.len()).filter(was).max().unwrap_or(0);
                prop_assert_eq!(prefix.tokens_at(*id) as usize, longest * 64);
            }
            if inserts {
                prefix.served_by(places[place], HOUR, now);
                for count in 1..=pieces.len() {
                    sent.entry((team, pieces[..count].to_vec())).or_default().insert(place);
                }
            }
        }
    }

    #[test]
    fn what_goes_on_with_a_prompt_begins_with_its_chain(
        pieces in vec((0..3_usize, 0..9_000_usize), 1..12), more in 1..70_000_usize,
    ) {
        let (index, now) = index();
        let place = PlaceId::fresh();
        let mut turns: Vec<Message> =
            pieces.iter().enumerate().map(|(at, (role, bytes))| turn(["user", "tool", "system"][*role], &unlike(at, *bytes))).collect();
        let Some(chain) = index.chain(of("a"), &chat(turns.clone()), 1_000) else { return Ok(()) };
        Arc::clone(&index).look_up(chain.clone(), now).served_by(place, HOUR, now);
        turns.push(turn("user", &unlike(99, more)));
        let longer = index.chain(of("a"), &chat(turns), 1_000).unwrap();
        prop_assert!(longer.blocks.starts_with(&chain.blocks));
        let longer = Arc::clone(&index).look_up(longer, now);
        prop_assert!(longer.tokens_at(place) > 0);
        prop_assert!(longer.tokens_at(place) <= longer.tokens());
    }
}
