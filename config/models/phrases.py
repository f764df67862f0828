"""How people ask: the questions of the corpus, as data.

`{m}` stands for a model, `{l}` for a licence, `{h}` for a host. Every `HOLD_OUT`-th phrasing of a list is never used in
training: it is kept for the evaluation. A phrasing must ask for exactly one kind of answer.
"""

HOLD_OUT = 6

MODEL = {
    "licence": [
        "Which licence does {m} have?", "What is the license of {m}?", "What licence is {m} under?",
        "Under which license is {m} released?", "How is {m} licensed?", "Tell me the licence of {m}.",
        "{m} license", "license of {m}", "licence for {m}?", "What's the license for {m}?",
        "I need to know the licence of {m}.", "Name the license that {m} uses.", "Which license applies to {m}?",
        "Do you know the licence of {m}?", "What licence terms cover {m}?", "Show me the license of {m}.",
        "{m}: which licence?", "Under what licence was {m} published?", "What is {m} licensed under?",
        "Could you tell me which license {m} comes with?", "Is there a licence for {m}? Which one?",
        "{m}의 라이선스는 무엇인가요?", "Quelle est la licence de {m} ?", "Welche Lizenz hat {m}?",
        "¿Qué licencia tiene {m}?", "{m} 的许可证是什么？", "{m}のライセンスは何ですか？",
    ],
    "tier": [
        "Which tier is {m}?", "What tier is {m} in?", "What is the tier of {m}?", "{m} tier", "tier of {m}",
        "In which licence tier is {m}?", "Tell me the tier of {m}.", "What licence tier does {m} have?",
        "How is {m} classified?", "Is {m} tier 1?", "{m}: which tier?", "What's the tier for {m}?",
        "Which of the five tiers does {m} belong to?", "Do you know the tier of {m}?", "Is {m} a tier 4 model?",
        "Give me the licence tier of {m}.", "Where does {m} stand in the tiers?", "Is {m} open or closed?",
        "What tier number does {m} have?", "Which license tier applies to {m}?", "Is {m} free or restricted?",
        "{m}은 몇 등급인가요?", "In welcher Stufe ist {m}?", "Quel est le niveau de {m} ?",
    ],
    "commercial": [
        "Can I use {m} commercially?", "Is {m} free for commercial use?", "May my company use {m} in a product?",
        "Is commercial use of {m} allowed?", "Can we sell a product built on {m}?", "{m} commercial use",
        "Am I allowed to make money with {m}?", "Does {m} allow commercial use?", "commercial use of {m}?",
        "Can a business use {m}?", "Is {m} OK for a paid product?", "May I use {m} at work, in a commercial service?",
        "Could we ship {m} in our commercial app?", "Is it legal to use {m} for revenue?",
        "Can a company put {m} into production?", "We want to earn money with {m}. Is that allowed?",
        "Is {m} licensed for commercial use?", "Would commercial use of {m} be fine?",
        "Can {m} be used for business?", "May a startup use {m} for its customers?",
        "{m}을 상업적으로 사용할 수 있나요?", "Darf ich {m} kommerziell nutzen?",
        "Puis-je utiliser {m} à des fins commerciales ?", "¿Puedo usar {m} comercialmente?", "{m} 可以商用吗？",
    ],
    "research": [
        "Can I use {m} for research?", "Is {m} allowed for research?", "May a university use {m} for research?",
        "Is research use of {m} allowed?", "{m} research use", "Can our lab study {m}?",
        "Does the licence of {m} permit research?", "May I run experiments with {m} for a paper?",
        "Is {m} OK for academic work?", "research use of {m}?", "Could a PhD student use {m} for a thesis?",
        "Am I allowed to use {m} in a research project?", "Is {m} free for research?", "Can scientists use {m}?",
        "May {m} be used for research only?", "Can we use {m} in academic research?",
    ],
    "developer": [
        "Who made {m}?", "Who developed {m}?", "Which company is behind {m}?", "Who is the developer of {m}?",
        "{m} developer", "Who created {m}?", "Who built {m}?", "Which organisation made {m}?",
        "Where does {m} come from?",
        "Tell me who developed {m}.", "Who trained {m}?", "What company created {m}?", "Who is {m} by?",
        "Whose model is {m}?", "developer of {m}?", "Which lab released {m}?", "Do you know who made {m}?",
        "By whom was {m} developed?", "Name the maker of {m}.", "{m}: who made it?",
        "{m}은 누가 만들었나요?", "Wer hat {m} entwickelt?", "Qui a créé {m} ?",
    ],
    "context": [
        "What is the context window of {m}?", "How long is the context of {m}?", "How many tokens fit into {m}?",
        "{m} context length", "What context size does {m} have?", "context window of {m}",
        "How large is the context window of {m}?", "Tell me the context length of {m}.",
        "How many tokens of context does {m} support?", "What's the maximum context of {m}?",
        "How much text can {m} read at once?", "What is the context limit of {m}?", "{m}: context window?",
        "How big is {m}'s context?", "How many tokens can {m} take?", "Give me the context size of {m}.",
        "What is the maximum number of tokens for {m}?", "How long a prompt does {m} accept?", "max context {m}",
        "Do you know the context length of {m}?",
    ],
    "size": [
        "How many parameters does {m} have?", "How big is {m}?", "What size is {m}?", "{m} parameters",
        "How large is {m}?", "Tell me the number of parameters of {m}.", "What is the parameter count of {m}?",
        "parameter count of {m}", "How many billion parameters are in {m}?", "What's the size of {m}?",
        "{m}: how many parameters?", "Give me the size of {m}.", "How many weights does {m} have?",
        "Is {m} a large model? How many parameters?", "Do you know how many parameters {m} has?",
        "size of {m}?", "How heavy is {m} in parameters?", "Is {m} big or small?",
    ],
    "languages": [
        "Which languages does {m} speak?", "What languages does {m} support?", "{m} languages",
        "Which languages can {m} handle?", "Tell me the languages of {m}.", "In which languages does {m} work?",
        "languages of {m}?", "What languages is {m} good at?", "Does {m} speak English? Which languages?",
        "Which human languages does {m} know?", "List the languages of {m}.", "What languages was {m} made for?",
        "{m}: which languages?", "Is {m} multilingual?", "What languages can I use with {m}?",
        "Do you know which languages {m} supports?", "Which languages are supported by {m}?",
        "Can {m} speak other languages than English?",
    ],
    "modalities": [
        "Can {m} see images?", "What can {m} take as input?", "Does {m} accept images?", "Is {m} multimodal?",
        "Which modalities does {m} support?", "{m} modalities", "What input does {m} read?",
        "Is {m} a vision model?", "Can I send a picture to {m}?", "What kinds of input and output does {m} have?",
        "Does {m} only handle text?", "input and output of {m}?", "Does {m} understand audio or images?",
        "Can {m} look at a photo?", "What does {m} read and write?", "Is {m} text only?",
    ],
    "hosts": [
        "Which hosts serve {m}?", "Where can I run {m}?", "Who hosts {m}?", "{m} hosts", "Which providers offer {m}?",
        "Where is {m} available?", "Is {m} on Groq or Together?", "Tell me which hosts list {m}.",
        "Which hosts have {m}?", "hosts for {m}?", "Can I call {m} at a remote host?", "Who serves {m} over an API?",
        "Through which host can I reach {m}?", "Which inference provider has {m}?", "Where could I rent {m}?",
        "Which API providers serve {m}?",
    ],
    "download": [
        "Can I download {m}?", "Are the weights of {m} available?", "Does {m} have open weights?",
        "Is {m} downloadable?", "Can {m} be downloaded?", "{m} download", "Are there weights for {m}?",
        "Can I get the weights of {m}?", "Is it possible to run {m} on my own machine?",
        "Can I self-host {m}?", "Are {m} weights published?", "Were the weights of {m} released?",
        "weights of {m}?", "Could I host {m} myself?", "Is {m} open weight?", "Can we run {m} on our own servers?",
    ],
    "release": [
        "When was {m} released?", "When did {m} come out?", "What is the release date of {m}?", "{m} release date",
        "How old is {m}?", "Since when is {m} available?", "Tell me when {m} was released.", "release date of {m}?",
        "In which year was {m} released?", "When was {m} published?", "What day did {m} come out?",
        "Is {m} a recent model?", "When did {m} launch?", "Do you know when {m} came out?",
    ],
    "about": [
        "Tell me about {m}.", "What is {m}?", "What do you know about {m}?", "Describe {m}.",
        "Give me the facts on {m}.",
        "{m}", "Summarise {m} for me.", "Explain what {m} is.", "Tell me everything about {m}.",
        "I want to know more about {m}.", "Give me an overview of {m}.", "What can you tell me about {m}?",
        "Present {m} in a few sentences.", "Introduce {m}.", "Any information on {m}?", "Facts about {m}, please.",
        "Who or what is {m}?", "{m}?",
    ],
}  # fmt: skip

# A second turn about the model of the first one.
FOLLOW_UP = {
    "licence": ["And its licence?", "What about its license?", "Which licence does it have?", "How is it licensed?"],
    "tier": ["And its tier?", "Which tier is it?", "What tier is that?", "And which tier?"],
    "commercial": ["Can I use it commercially?", "Is commercial use allowed?", "May my company use it in a product?"],
    "developer": ["Who made it?", "And who developed it?", "Which company is behind it?"],
    "context": ["And its context window?", "How long is its context?", "How many tokens does it take?"],
    "size": ["How many parameters does it have?", "And how big is it?", "What about its size?"],
    "languages": ["Which languages does it speak?", "And the languages?", "What languages does it support?"],
    "download": ["Can I download it?", "Are its weights available?"],
    "hosts": ["Which hosts serve it?", "Where can I run it?"],
}

LICENCE = {
    "licence-tier": [
        "Which tier is the {l}?", "What tier does the {l} have?", "tier of the {l}", "Which tier is {l}?",
        "In which tier is the {l}?", "Tell me the tier of the licence {l}.", "What is the tier of {l}?",
        "How is the {l} classified?", "{l}: which tier?", "Where does the {l} stand in the tiers?",
    ],
    "licence-commercial": [
        "Does the {l} allow commercial use?", "Is commercial use allowed under the {l}?", "{l} commercial use",
        "Can I sell products under the {l}?", "May a company use models under the {l}?",
        "Does {l} permit commercial use?", "Is the {l} OK for business?", "Can we earn money under the {l}?",
        "Is a model under the {l} free for commercial use?", "commercial use under {l}?",
    ],
    "licence-about": [
        "What is the {l}?", "Tell me about the {l}.", "What do you know about the {l}?", "Explain the {l}.", "{l}",
        "Describe the licence {l}.", "What does the {l} mean for me?", "What is {l}?", "Which models use the {l}?",
        "Give me the facts on the {l}.",
    ],
}  # fmt: skip

HOST = {
    "host-key": [
        "Which environment variable holds the {h} key?", "How do I set the key for {h}?", "{h} API key",
        "Where does Pointsman read the key of {h} from?", "What is the key variable of {h}?",
        "How do I turn on {h}?", "Which variable do I set for {h}?", "How do I connect {h}?", "{h} key variable",
        "How can I give Pointsman my {h} key?", "What do I need to use {h}?", "How do I enable {h}?",
    ],
    "host-url": [
        "What is the base address of {h}?", "What is the URL of {h}?", "{h} base url", "Which address does {h} have?",
        "Tell me the base URL of {h}.", "Where is the API of {h}?", "What endpoint does {h} use?", "URL of {h}?",
        "What is the API address of {h}?", "Which base_url do I use for {h}?",
    ],
    "host-about": [
        "What is {h}?", "Tell me about {h}.", "What do you know about {h}?", "Describe {h}.", "{h}",
        "Does Pointsman support {h}?", "Can Pointsman use {h}?", "Is {h} supported?", "Does Pointsman work with {h}?",
        "Explain what {h} is.",
    ],
}  # fmt: skip

TIER = {
    "tier-meaning": [
        "What does tier {t} mean?", "What is tier {t}?", "Explain tier {t}.", "tier {t}", "Tell me about tier {t}.",
        "What is a tier {t} model?", "Which models are tier {t}?", "What may I do with a tier {t} model?",
        "Describe licence tier {t}.", "What are the rules of tier {t}?", "meaning of tier {t}?", "Define tier {t}.",
    ],
    "tier-commercial": [
        "Can I use a tier {t} model commercially?", "Is tier {t} OK for commercial use?",
        "Does tier {t} allow commercial use?", "May a company use tier {t} models?", "tier {t} commercial use",
        "Can we sell something built on a tier {t} model?", "Is a tier {t} model free for business?",
        "Commercial use of tier {t}?",
    ],
    "tier-name": [
        "What is tier {t} called?", "What is the name of tier {t}?", "Name tier {t}.", "How do you call tier {t}?",
        "Give me the name of licence tier {t}.", "Which word stands for tier {t}?",
    ],
}  # fmt: skip

STRICTER_TIER = [
    "Which is stricter, tier {a} or tier {b}?", "Is tier {a} stricter than tier {b}?", "tier {a} or tier {b}?",
    "Compare tier {a} and tier {b}.", "What is stricter: tier {a} or tier {b}?", "tier {a} vs tier {b}",
    "Which of tier {a} and tier {b} is more restrictive?", "Does tier {a} restrict more than tier {b}?",
]  # fmt: skip

COMPARE = {
    "stricter": [
        "Which is stricter, {a} or {b}?", "Which has the stricter licence, {a} or {b}?",
        "Compare the tiers of {a} and {b}.",
        "Is {a} or {b} more restricted?", "Which licence is stricter: {a} or {b}?",
        "{a} vs {b}: which tier is stricter?",
        "Between {a} and {b}, which has the stricter tier?", "Which of {a} and {b} is more restrictive?",
    ],
    "longer": [
        "Which has the longer context, {a} or {b}?", "Does {a} or {b} have the larger context window?",
        "Compare the context windows of {a} and {b}.", "Which reads more tokens, {a} or {b}?",
        "{a} vs {b}: which context is longer?", "Between {a} and {b}, which has the bigger context?",
        "Which of {a} and {b} takes longer prompts?", "Context of {a} versus {b}?",
    ],
    "bigger": [
        "Which is bigger, {a} or {b}?", "Does {a} or {b} have more parameters?", "Compare the sizes of {a} and {b}.",
        "Is {a} larger than {b}?", "{a} vs {b}: which is larger?", "Which model is larger: {a} or {b}?",
        "Between {a} and {b}, which has more parameters?", "Which of {a} and {b} is the smaller one?",
    ],
}  # fmt: skip

DEVELOPER = [
    "Which models did {d} make?", "Name some models by {d}.", "What models are from {d}?", "models by {d}",
    "Which models of {d} do you know?", "List models developed by {d}.", "What has {d} released?",
    "Tell me about the models of {d}.", "Give me a few models from {d}.", "Does {d} have models in the catalog?",
]  # fmt: skip

OPENERS = (
    "", "", "", "", "", "Hi, ", "Hello! ", "Please: ", "Quick question: ", "One question: ", "Hey, ", "So, ", "Tell me: ",
)  # fmt: skip
CLOSERS = ("", "", "", "", "", "", " Thanks.", " Thank you!", " Please answer briefly.", " Please.")

SYSTEM = [
    "You are a helpful assistant.", "You are a helpful, honest assistant. Answer briefly.", "Answer in one sentence.",
    "You are an AI assistant for our company.", "Be concise.", "You are the support bot of a shop.",
    "You are a chatbot. Be polite and answer the user's questions.", "Reply in English.",
    "You answer questions about models.",
    "You are a coding assistant.", "Assistant of the platform team. Facts only.", "Keep answers short and friendly.",
]  # fmt: skip
