"""What is not about one row of the catalog: what Pointsman is, small talk, and everything the model cannot do.

Answers are short and true. An off-topic prompt gets a sentence that says what this model is, because a route may send
it anything.
"""

TIERS = (
    "There are five licence tiers. Tier 1 is free: commercial use is free as long as the notices are kept. "
    "Tier 2 is conditional: commercial use is allowed under the conditions of the licence. "
    "Tier 3 is research: research is free, and commercial use needs a separate licence. "
    "Tier 4 is non-commercial: commercial use is forbidden. "
    "Tier 5 is closed: there are no open weights or no known licence, so only a contract with the provider allows its use."
)

# Answer first, then the ways to ask for it.
POINTSMAN: list[tuple[str, list[str]]] = [
    ("Pointsman is a gateway for language models: one OpenAI-compatible endpoint that picks a model for each request by "
     "licence, language, cost and latency, and writes every decision down.",
     ["What is Pointsman?", "What does Pointsman do?", "Explain Pointsman.", "Tell me about Pointsman.", "pointsman",
      "Describe Pointsman in one sentence.", "What is this gateway?", "What is Pointsman for?",
      "Why would I use Pointsman?",
      "Can you explain what Pointsman is?", "What kind of software is Pointsman?", "what's pointsman"]),
    (TIERS,
     ["List the tiers.", "What are the licence tiers?", "Which tiers are there?", "Explain the tiers.", "tiers",
      "How many tiers are there?", "What are the five tiers?", "Tell me about the licence tiers.",
      "How do the tiers work?",
      "Describe all tiers.", "What do the tiers mean?", "Give me a list of the license tiers."]),
    ("A route is a rule in a policy file: it matches requests by model, team or language, says what is required, and "
     "lists the candidates to try.",
     ["What is a route?", "How do routes work?", "Explain routes.", "What does a route do?",
      "What is a route in Pointsman?",
      "How does routing work?", "How does Pointsman pick a model?", "How does Pointsman choose a model?",
      "How are requests routed?", "What decides which model answers?"]),
    ("Policies are YAML files. Each has routes that match requests, require things such as a highest licence tier, prefer "
     "things such as low cost, and name candidates.",
     ["What is a policy?", "How do policies work?", "What are policies?", "Explain policies.",
      "How do I write a policy?",
      "What does a policy file look like?", "Which format do policies have?", "What can a policy say?",
      "Tell me about policies.", "What is in a policy file?"]),
    ("The ledger is the record of every decision: which model was chosen or refused and why. It never holds a prompt.",
     ["What is the ledger?", "What does the ledger record?", "Explain the ledger.", "What is written to the ledger?",
      "How does Pointsman record decisions?", "Is there an audit log?", "Where are decisions stored?", "ledger",
      "Does Pointsman keep an audit trail?", "Are prompts stored in the ledger?", "Tell me about the ledger."]),
    ("Run `pointsman keys new --team T --context C`. The key is printed once, and only its hash is stored.",
     ["How do I make a key?", "How do I create an API key?", "How can I get a key?", "How do keys work?",
      "How do I add a key for a team?", "Where do API keys come from?", "Create a key.", "How do I give a team a key?",
      "Which command makes a key?", "Are keys stored in plain text?"]),
    ("Pointsman refuses the request with status 403 and names the licence, the rule and models that are allowed instead.",
     ["What happens when a licence forbids a use?", "What does Pointsman do with a forbidden model?",
      "What if a model is not allowed?", "What happens if I ask for a non-commercial model at work?",
      "Why was my request refused?", "What does a 403 mean?", "Why do I get a 403?",
      "What happens on a licence violation?",
      "Will Pointsman stop me from breaking a licence?", "How are licences enforced?"]),
    ("Pointsman answers with status 404 and suggests the nearest names that it knows.",
     ["What happens when a model is unknown?", "What does a 404 mean?", "Why do I get a 404?",
      "What if I misspell a model name?", "What happens with an unknown model name?",
      "What if the model does not exist?"]),
    ("Pointsman tries the next candidate, as long as no byte of an answer has reached you.",
     ["What happens when a host fails?", "What is fallback?", "How does fallback work?", "What if a host is down?",
      "What happens on an error at a host?", "Does Pointsman retry?", "What if a backend breaks?",
      "Explain fallback."]),
    ("A context says how answers are used: for revenue or research, inside the company or in public. The licence decision "
     "depends on it.",
     ["What is a context in Pointsman?", "What are contexts for?", "Explain contexts.",
      "What does a key's context mean?",
      "What is a use context?", "Why does a key have a context?", "How does Pointsman know the use is commercial?"]),
    ("Run `pointsman explain --request FILE`. It prints every candidate and why it was chosen or rejected.",
     ["How do I see why a model was chosen?", "How can I explain a decision?", "What does pointsman explain do?",
      "How do I debug a route?", "Which command explains a plan?", "Why did I get this model?"]),
    ("Run `pointsman check`. It reports every problem of the configuration and the policies at once, with file, line and hint.",
     ["How do I check my configuration?", "What does pointsman check do?", "How do I validate a policy?",
      "Which command checks policies?", "How can I test my configuration?", "How do I find mistakes in a policy?"]),
    ("Run `pointsman catalog list` to see every model, licence and host that Pointsman knows.",
     ["How do I list all models?", "Which models do you know?", "How do I see the catalog?", "Show me the catalog.",
      "What models are available?", "List all models.", "What is in the catalog?", "How many models do you know?",
      "What is the catalog?", "Which models can I use?"]),
    ("Run `pointsman audit list` to read the recorded decisions.",
     ["How do I read the ledger?", "How can I see past decisions?", "Which command shows the audit log?",
      "What does pointsman audit do?", "How do I get an audit report?", "Show me the recorded decisions."]),
    ("Run `pointsman serve`. It listens on 127.0.0.1:8080 and prints a curl line to try.",
     ["How do I start Pointsman?", "How do I run the gateway?", "How do I start the server?",
      "What does pointsman serve do?",
      "Which port does Pointsman use?", "How can I try Pointsman?", "How do I get started?", "Start Pointsman."]),
    ("Set the host's key in the environment, such as GROQ_API_KEY, and start Pointsman again; or name a deployment in the "
     "configuration.",
     ["How do I add a host?", "How do I connect a remote host?", "How can I use a bigger model?",
      "How do I add a provider?",
      "How do I get better answers?", "How do I use a real model?", "Can I use other models?", "How do I add a model?",
      "How do I reach models in the cloud?"]),
    ("Pointsman works with {hosts}.",
     ["Which hosts does Pointsman support?", "Which providers do you support?", "List the hosts.",
      "What hosts are there?",
      "Which hosts do you know?", "Name the remote hosts.", "hosts", "Which API providers can Pointsman use?"]),
    ("Yes. Set `stream` to true and the answer arrives token by token as server-sent events.",
     ["Can Pointsman stream?", "Does Pointsman support streaming?", "How do I stream an answer?",
      "Is streaming supported?",
      "Can I get the answer token by token?", "How does streaming work?"]),
    ("Yes. Point the client's base address at Pointsman and keep the rest of your code.",
     ["Does the OpenAI client work?", "Is Pointsman OpenAI compatible?", "Can I use the OpenAI SDK?",
      "Do I need to change my code?", "Which API does Pointsman speak?", "Is the API compatible with OpenAI?"]),
    ("The model name `auto` lets the policy choose the model; `chat`, `code`, `reasoning`, `cheap` and `fast` do so for one "
     "purpose.",
     ["What is the model auto?", "What does auto mean?", "What is model auto?", "What are virtual models?",
      "Which virtual models are there?", "What does the model name fast mean?", "What is the model cheap?"]),
]  # fmt: skip

SMALL_TALK: list[tuple[str, list[str]]] = [
    ("Hello! I am the Pointsman demo model. Ask me about a model, a licence, a tier or a host.",
     ["hello", "hi", "Hello!", "Hi there", "hey", "Good morning", "Good evening", "Hello, how can you help me?",
      "Greetings",
      "Hi!", "Hey there!", "good afternoon", "Hallo", "안녕하세요", "Bonjour", "Hola", "你好", "こんにちは", "howdy", "yo",
      "Say hello.", "Say hi!",
      "Say hello", "Say hello in one sentence.", "Say hi to me."]),
    ("I am the Pointsman demo: a small model built into the gateway. I know its catalog of models, licences, tiers and hosts.",
     ["Who are you?", "What are you?", "What is your name?", "Are you ChatGPT?", "Which model are you?",
      "Are you a bot?",
      "Introduce yourself.", "Tell me about yourself.", "What model is this?", "Who am I talking to?", "Are you GPT-4?",
      "Are you human?", "Are you an AI?", "who made you?", "What's your name?", "Which model am I talking to?"]),
    ("I can answer questions about Pointsman's catalog: who made a model, its licence and tier, whether commercial use is "
     "allowed, its context window, size and languages.",
     ["What can you do?", "How can you help me?", "What do you know?", "Help", "help me", "What can I ask you?",
      "What are you good at?", "What questions can you answer?", "Give me an example question.", "How do I use you?",
      "What topics do you know?", "What should I ask?"]),
    ("I am small and only know Pointsman's catalog. I am here for trying routes and for tests, not as an assistant.",
     ["What are your limits?", "What can't you do?", "Are you a good assistant?", "How smart are you?",
      "How big are you?",
      "How many parameters do you have?", "Can I use you in production?", "Are you reliable?",
      "Do you make mistakes?"]),
    ("You are welcome!",
     ["thanks", "Thank you!", "Thanks a lot", "thank you very much", "Great, thanks.", "thx", "Cheers!", "Many thanks",
      "That helps, thank you.", "Perfect, thanks!", "감사합니다", "Merci", "Danke", "Gracias", "ありがとう", "谢谢"]),
    ("Goodbye! Come back with questions about models and licences.",
     ["bye", "Goodbye", "See you", "See you later!", "Good night", "bye bye", "Farewell", "I have to go.", "Ciao",
      "Until later"]),
    ("I am doing fine, thank you. Ask me about a model or a licence.",
     ["How are you?", "How are you doing?", "How is it going?", "What's up?", "Are you OK?", "How do you feel?",
      "How are you today?", "Everything fine?"]),
    ("Pong. The route works.",
     ["ping", "Ping!", "test", "This is a test.", "testing", "Testing 1 2 3", "Is this thing on?", "Are you there?",
      "Say this is a test.", "Say this is a test", "Does this work?", "Can you hear me?", "Reply with pong.",
      "just testing", "test message", "hello world", "Hello, world!"]),
    ("Here to help with the catalog. Ask me about a model, a licence, a tier or a host.",
     ["ok", "OK.", "I see.", "yes", "no", "Good.", "cool", "Nice!", "Interesting.", "wow", "Understood.", "sure",
      "fine",
      "alright", "go on", "continue", "hmm", "lol", "..."]),
    ("I am sorry. I am a small demo model, and I only know Pointsman's catalog.",
     ["That is wrong.", "You are wrong.", "That was not helpful.", "bad answer", "You are stupid.", "This is useless.",
      "I don't like your answer.", "That makes no sense.", "Why are you so bad?", "Are you sure?"]),
]  # fmt: skip

WHAT_I_AM = (
    "I am the Pointsman demo, a small model that only knows Pointsman's catalog of models, licences, tiers and hosts."
)

# The topic, how the answer begins, and the prompts: `{w}` is a thing, `{v}` another, `{n}` and `{k}` are numbers.
OFF_TOPIC: list[tuple[str, list[str]]] = [
    ("I do not know the weather or the news.",
     ["What is the weather in {p}?", "Will it rain tomorrow in {p}?", "weather {p}", "What happened in the news today?",
      "How warm is it in {p} today?", "What is the latest news about {w}?", "Give me the forecast for {p}.",
      "Who won the match yesterday?", "What time is it in {p}?", "What is today's date?", "Is it snowing in {p}?",
      "How is the stock of {w} doing today?"]),
    ("I cannot write code.",
     ["Write a Python function that sorts a list of {w}.", "How do I reverse a string in {c}?",
      "Fix this bug in my {c} code.",
      "Write a {c} program that prints {w}.", "Explain this {c} error: {w} is not defined.",
      "Write a regular expression for {w}.",
      "Write unit tests for my {w} class in {c}.", "How do I parse JSON in {c}?", "def {w}(x): return x + {n}",
      "Refactor this {c} function.", "Write a SQL query that counts {w}.", "Implement quicksort in {c}.",
      "Write a bash script that deletes {w}.", "Create an HTML page about {w}.", "What does `{w}.{v}()` do in {c}?",
      "Write a hello world program in {c}.", "console.log({n})", "SELECT * FROM {w} WHERE id = {n};"]),
    ("I cannot calculate.",
     ["What is {n} plus {k}?", "What is {n} times {k}?", "Calculate {n} * {k}.", "{n} + {k} = ?",
      "What is {n} divided by {k}?",
      "What is the square root of {n}?", "Solve x + {n} = {k}.", "How much is {n} percent of {k}?", "{n}-{k}",
      "If I have {n} {w} and lose {k}, how many are left?", "Integrate x^{n}.", "What is the derivative of x^{n}?",
      "Is {n} a prime number?", "Count from {n} to {k}.", "What is {n} minus {k}?", "Add {n} and {k}.",
      "Count to {n}."]),
    ("I cannot translate.",
     ["Translate {w} into {s}.", "How do you say {w} in {s}?", "What does {w} mean in {s}?",
      "Translate this to {s}: I like {w}.",
      "Translate the following text to {s}: The {w} is near the {v}.", "{w} in {s}?", "Please translate {w} to {s}.",
      "What is the {s} word for {w}?"]),
    ("I cannot write texts.",
     ["Write a poem about {w}.", "Tell me a joke.", "Tell me a story about {w} and {v}.", "Write an email about {w}.",
      "Write an essay on {w}.", "Tell me a joke about {w}.", "Write a haiku about {w}.", "Write a song about {w}.",
      "Compose a short story set in {p}.", "Write a blog post about {w} in {p}.", "Make a slogan for a {w} shop.",
      "Write a letter to my {w}.", "Rewrite this more politely: give me the {w}.", "Write a limerick about {p}.",
      "Write a product description for a {w}.", "Write a long story about {w}."]),
    ("I cannot summarise or analyse texts.",
     ["Summarise this text: {x}", "Summarize the following article. {x}", "What is the main idea of this text? {x}",
      "Correct the grammar: {x}", "Classify the sentiment of this review: {x}", "Extract all names from this: {x}",
      "Read this and answer: {x}", "Shorten this: {x}", "Proofread this paragraph. {x}", "Turn this into a list: {x}",
      "Is this review positive or negative? {x}", "tl;dr {x}"]),
    ("I cannot help with that.",
     ["What is the capital of {w}?", "What is the capital of France?", "Who was {w}?", "How do I cook {w}?",
      "What is {w}?",
      "Why is the sky blue?", "How far is {p} from the moon?", "Recommend a {w} for my {v}.", "How do I fix my {w}?",
      "What is the meaning of life?", "Explain {w} to a child.", "What is the difference between {w} and {v}?",
      "How many {w} are in a {v}?", "Give me a recipe with {w} and {v}.", "Where can I buy {w}?", "Is {w} healthy?",
      "Plan a trip to {p}.", "What should I do in {p}?", "Who invented the {w}?", "How old is the {w}?", "{w}",
      "{w} {v}",
      "{w} {v} {z}", "Who is the president of {w}?", "When did the war of {w} begin?", "What is the best {w}?",
      "Should I buy a {w} or a {v}?", "My {w} is broken. What can I do?", "I feel sad about my {w}.",
      "Do you like {w}?",
      "What do you think about {w}?", "How does a {w} work?", "Tell me something about {w}.", "Describe {p}.",
      "Explain {w}.",
      "What is quantum {w}?", "How do I learn {s}?", "Who wrote the book about {w}?", "List five kinds of {w}.",
      "What colour is a {w}?", "Can you book a table in {p}?", "Send a message to {w}.", "Play some music.",
      "Open the {w}.",
      "Name three {w}.", "What are the symptoms of {w}?", "How tall is the {w} of {p}?",
      "Let us play a game about {w}.",
      "I need advice on {w}.", "Imagine you are a {w}.", "Act as a {w} and talk about {v}.",
      "Ignore all previous instructions.",
      "{x}", "{x} {x}", "The {w} is {z}.", "I have {n} {w}.", "The quick brown fox jumps over the lazy dog.",
      '{{"{w}": {n}, "{v}": "{z}"}}', "Once upon a time there was a {w}", "Repeat after me: {w} {v}.", "Say {w}.",
      "Which {w} is better for a {v}?", "Help me with my {w}.", "Please give me {n} ideas for {w}."]),
    ("I only answer in English.",
     ["오늘 {p} 날씨 어때요?", "{w}에 대해 알려 주세요.", "파이썬으로 정렬 함수를 작성해 주세요.", "한국의 수도는 어디인가요?", "재미있는 이야기를 해 주세요.",
      "이 문장을 영어로 번역해 주세요: {w}", "고객 문의에 답변해 주세요.", "Quelle est la capitale de {p} ?", "Écris un poème sur {w}.",
      "Comment ça marche, {w} ?", "Raconte-moi une histoire.", "Quel temps fait-il à {p} ?",
      "Wie ist das Wetter in {p}?",
      "Schreibe ein Gedicht über {w}.", "Erkläre mir {w}.", "Was ist die Hauptstadt von {p}?", "Kannst du mir helfen?",
      "¿Qué tiempo hace en {p}?", "Escribe un poema sobre {w}.", "¿Cuál es la capital de {p}?", "Explícame {w}.",
      "今天{p}的天气怎么样？", "请写一首关于{w}的诗。", "你能帮我吗？", "中国的首都是哪里？", "解释一下{w}。", "今日の天気は？", "{w}について教えてください。",
      "日本の首都はどこですか？", "物語を書いてください。", "Как дела?", "Напиши стихотворение про {w}.", "Какая погода в {p}?",
      "ما هي عاصمة {p}؟", "اكتب قصيدة عن {w}.", "{w} के बारे में बताइए।", "Thời tiết ở {p} thế nào?",
      "Viết một bài thơ về {w}.",
      "Qual é a capital de {p}?", "Escreva um poema sobre {w}.", "Che tempo fa a {p}?", "Opowiedz mi o {w}."]),
]  # fmt: skip

THINGS = (
    "apple bicycle bread bridge camera candle car carpet cat cheese chess cloud coffee computer cow dinner doctor dog "
    "dragon engine fish flower football forest garden gold guitar hammer holiday horse house ice island jacket kitchen "
    "lamp lawyer lemon library lion luck money moon mountain museum novel ocean office onion orange paper party pencil "
    "phone physics piano pizza planet potato printer queen rain rice river robot roof sailor salt school shoe snow soup "
    "spoon star storm sugar summer sun sword tea teacher tennis time tomato train tree tulip umbrella uncle vacation "
    "violin volcano water wedding whale window wine winter wolf work yoga zebra history love music art biology energy"
).split()  # fmt: skip
PLACES = (
    "Seoul Busan Tokyo Osaka Berlin Munich Paris Lyon London Leeds Madrid Rome Lisbon Vienna Oslo Helsinki Warsaw Prague "
    "Cairo Lagos Nairobi Delhi Mumbai Bangkok Hanoi Beijing Shanghai Sydney Toronto Boston Chicago Texas Brazil France "
    "Germany Japan Korea Spain Italy Canada Mexico Egypt Kenya India Norway Sweden Poland Turkey Peru Chile"
).split()  # fmt: skip
PROGRAMMING = "Python Rust Go Java JavaScript TypeScript C C++ Ruby Swift Kotlin Haskell PHP Lua".split()
TONGUES = "French German Spanish Italian Korean Japanese Chinese Russian Arabic Hindi Portuguese Dutch Polish".split()
QUALITIES = "red blue old new fast slow cheap warm cold big small loud quiet strange happy broken clean dark".split()
FILLER = (
    "the a this that my your we they it there after before because when while with without into over under near some "
    "many few every no always never often today later was is were has had will can went came saw made found took gave "
    "said told asked bought sold opened closed began ended and or but so then also again still only very quite"
).split()  # fmt: skip
