//! What frequent words say about a language in Latin script: tables, and the count of them in a text.
//!
//! `whichlang` always answers, also on a text in none of its languages; a sentence without one frequent word of the
//! language that it names is in another one. Short texts are mostly such words, and better told by them than by letters.
//! The lists are those that chats are full of: pronouns, question words, greetings. A word may stand in several.

use std::{collections::HashMap, sync::OnceLock};

/// How many words of a text are frequent in each language.
#[derive(Default)]
pub(super) struct Votes {
    lists: [usize; LISTS.len()],
    /// Words that no list has.
    unlisted: usize,
}

impl Votes {
    /// Of `prose` in lower case.
    pub(super) fn of_text(prose: &str) -> Self {
        let table = table();
        let (mut votes, mut all, mut unlisted) = ([0; LISTS.len()], 0, 0);
        let words = prose.split(|c: char| !c.is_alphabetic() && c != '\'').map(|word| word.trim_matches('\''));
        for word in words.filter(|word| !word.is_empty()) {
            all += 1;
            let lists = table.get(word).copied().unwrap_or_default();
            unlisted += usize::from(lists == 0);
            for (at, sum) in votes.iter_mut().enumerate() {
                *sum += usize::from(lists >> at & 1);
            }
        }
        for ((_, share, _), sum) in LISTS.iter().zip(&mut votes) {
            if sum.saturating_mul(*share) < all {
                *sum = 0;
            }
        }
        Self { lists: votes, unlisted }
    }

    /// The words that are frequent in `language`.
    pub(super) fn of(&self, language: &str) -> usize {
        LISTS.iter().zip(&self.lists).find(|((known, ..), _)| *known == language).map_or(0, |(_, votes)| *votes)
    }

    /// The language with the most frequent words, unless there is none or two have as many.
    pub(super) fn leading(&self) -> Option<(&'static str, usize)> {
        let most = *self.lists.iter().max()?;
        let mut leading = LISTS.iter().zip(&self.lists).filter(|(_, votes)| **votes == most);
        match (leading.next(), leading.next()) {
            (Some(((language, ..), _)), None) if most > 0 => Some((language, most)),
            _ => None,
        }
    }

    /// How much speaks for `language` as a share of all that speaks for any; `agrees`: whether `whichlang` names it too.
    /// A word counts twice what `whichlang` says, and what it says alone is doubted: it always says something. So is a
    /// text with many words of no list: it may be in a language that nobody here knows.
    pub(super) fn confidence(&self, language: &str, agrees: bool) -> f32 {
        let other = LISTS.iter().zip(&self.lists).filter(|((known, ..), _)| *known != language);
        let other = other.map(|(_, votes)| *votes).max().unwrap_or(0);
        // Languages that `whichlang` does not know have passed their share instead.
        let agrees = agrees || LISTS.iter().any(|(known, share, _)| *known == language && *share != ANY);
        let for_it = (2 * self.of(language) + usize::from(agrees)) as f32;
        let doubt = 2.0 + self.unlisted as f32 / 2.0;
        for_it / (for_it + 2.0 * other as f32 + doubt)
    }
}

/// The lists that have each word, as bits.
fn table() -> &'static HashMap<&'static str, u16> {
    static TABLE: OnceLock<HashMap<&str, u16>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = HashMap::new();
        for (at, (_, _, words)) in LISTS.iter().enumerate() {
            for word in words.split_whitespace() {
                *table.entry(word).or_default() |= 1 << at;
            }
        }
        table
    })
}

/// Any one word speaks for the language.
const ANY: usize = usize::MAX;

/// Language, the share of a text's words that have to be in the list (one in so many), and the list. `whichlang` does
/// not know the last five as they are written here, so that a stray word says less: Indonesian, and four languages with
/// a script of their own as people type them in Latin letters.
const LISTS: [(&str, usize, &str); 14] = [
    (
        "en",
        ANY,
        "the a an of and to in is it i you my me your we this that these what which who how why when where can could \
            do does did don't are was be have has for with not on at from about please thanks thank hello hi hey yes no if or \
            as by should would will there their our tell give write make fix help explain show all good any into than more",
    ),
    (
        "de",
        ANY,
        "der die das den dem des ein eine einen einem einer und ist sind ich du er sie es wir ihr mein meine mir mich dein \
            nicht kein keine wie was wer wo wann warum welche welches kann kannst können bitte danke hallo guten auf für mit \
            von zu zum zur im in an am aus bei nach auch wird werden haben hat habe gibt mach schreib erkläre oder aber als \
            dieser diese dieses diesen noch heute morgen über dass man vielen spät",
    ),
    (
        "fr",
        ANY,
        "le la les l un une des du de d et est sont je j tu il elle nous vous on mon ma mes ton ta me moi ne pas que qu qui \
            quoi quel quelle comment pourquoi où quand combien ce c cette ces ça à au aux en dans sur pour par avec merci \
            bonjour salut oui non s'il peux puis faire fait être ai plus ou mais si se y cet écris donne explique beaucoup revoir",
    ),
    (
        "es",
        ANY,
        "el la los las un una unos de del y es son yo tú mi mis tu tus su me te se no qué que quién cómo como por para con \
            cuál cuánto cuándo dónde en al lo le esto este esta ese esa hola gracias buenos buenas días muchas favor está \
            puedo puedes hacer más pero si sin hay quiero tengo necesito dime escribe haz ser cuántos cuáles sobre",
    ),
    (
        "pt",
        ANY,
        "o a os as um uma de do da dos das e é são eu você meu minha me te se não que quem como por para com qual quanto \
            quando onde em no na ao isso este esta esse essa olá oi obrigado obrigada bom boa dia mais mas ou sem tem \
            está posso pode fazer quero preciso tenho escreva seu sua foi quais quantos muito sobre",
    ),
    (
        "it",
        ANY,
        "il lo la i gli le un una uno di del della dei delle e è sono io tu mio mia mi ti si non che chi come per con quale \
            quanto quando dove perché cosa cos cos'è che in nel nella al alla questo questa questi ciao grazie mille buongiorno salve \
            stai posso puoi fare più ma o se ho hai c'è sul dal scrivi dimmi spiegami quali vorrei favore prima",
    ),
    (
        "nl",
        ANY,
        "de het een en van is zijn ik je jij u mijn jouw wij niet geen wat wie hoe waar wanneer waarom welke kan kun kunt \
            met voor op in te aan bij naar ook dat deze dit hallo dank bedankt alsjeblieft graag maar als of om er nog wel \
            maken schrijf heb heeft moet",
    ),
    (
        "sv",
        ANY,
        "och att det är en ett jag du min mitt mig inte vad vem hur var när varför vilken vilket kan på för med av till \
            från som om den detta dessa hej tack snälla har ska vill skriv gör eller men också",
    ),
    (
        "tr",
        ANY,
        "bir bu şu o ve ne nasıl neden niçin kim nerede hangi kaç mı mi mu mü ben sen benim bana bize için ile gibi daha \
            çok en var yok değil merhaba selam teşekkürler teşekkür lütfen günaydın evet hayır olarak olan yaz ver yap \
            yapılır nedir demek ama veya da de ki bugün",
    ),
    (
        "id",
        8,
        "adalah apa atau bagaimana berapa bisa dalam dengan ini itu kamu kasih mana mengapa kenapa saya aku siapa tentang \
            terima tidak untuk yang dan di ke dari buat buatkan tolong halo selamat pagi kabar akan sudah belum jangan kapan \
            juga bantu cara jelaskan tulis lupa ada hari kata",
    ),
    (
        "hi",
        5,
        "hai hain kya kaise kaisa kaisi nahi nahin mujhe mera meri mere tum aap aapka apna kar karo karna karte karta karti \
            kaun kab kahan kyun kyon bahut accha acha theek yeh woh hum hoga raha rahi rahe batao bata chahiye liye mein aur \
            lekin bhai yaar namaste dhanyavaad shukriya samajh matlab abhi aaj kitna kitne wala sakta sakte sakti phir madad \
            kaam tak ka",
    ),
    (
        "ru",
        5,
        "ya ty my vy on ona eto chto kak gde kogda pochemu kto privet spasibo pozhaluysta pozhalujsta mne menya tebya \
            nado nuzhno mozhno mozhesh mogu net dlya kakoy kakoi kakaya skolko segodnya zavtra khorosho horosho ochen \
            sdelat rabotaet ponimayu znayu pomogi napishi rasskazhi perevedi zdravstvuyte budet esli tolko uzhe moy moya ne",
    ),
    (
        "ja",
        5,
        "desu masu wa ga wo kara watashi anata kore sore nani doko itsu dare doushite naze kudasai onegaishimasu arigatou \
            arigato konnichiwa ohayou sumimasen gozaimasu shite suru shimasu shimashita deshita dekimasu ikura oshiete \
            wakarimasu wakarimasen hontou totemo nihongo imasu arimasu kyou ashita kinou konbanwa dou tenki ni ka",
    ),
    (
        "ko",
        5,
        "annyeong annyeonghaseyo gamsahamnida kamsahamnida mianhae eotteoke eottaeyo mwo mwoya mwoyeyo juseyo haejuseyo \
            allyeojwo allyeo haejwo oneul naeil nalssi wae eodi eodie eonje nugu jeoneun naneun ieyo yeyo imnida hamnida \
            isseoyo eopseoyo isseo hago sipeoyo sipeo jom neomu jinjja hanguk hangugeo aniyo jal molla mollayo eolmayeyo ige igeo",
    ),
];
