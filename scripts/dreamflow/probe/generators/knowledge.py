"""What most people know, asked plainly: the answer may stand in a sentence, so that even a small model can show it.

These tasks measure what a model has besides the skills that it is trained in: one that forgets loses them. Templates of
one skill share no fact.
"""

from collections.abc import Mapping
from random import Random

from .base import Made, Template
from .words import LISTS

Facts = Mapping[str, str]


def _facts(text: str) -> Facts:
    """{question: answer} of "question: answer, question: answer"."""
    pairs = (pair.split(":") for pair in text.split(","))
    return {question.strip(): answer.strip() for question, answer in pairs}


def _next(words: tuple[str, ...], step: int) -> Facts:
    """Each word of a circle with the one that is `step` further."""
    return {word: words[(place + step) % len(words)] for place, word in enumerate(words)}


def _row(first: int, step: int) -> str:
    return ", ".join(str(first + step * place) for place in range(4))


_OPPOSITES = (
    "hot: cold, big: small, up: down, day: night, left: right, early: late, full: empty, happy: sad, fast: slow, "
    "hard: soft, wet: dry, rich: poor, strong: weak, high: low, true: false, near: far, inside: outside, loud: quiet",
    "before: after, win: lose, buy: sell, push: pull, love: hate, war: peace, north: south, east: west, black: white, "
    "first: last, thick: thin, wide: narrow, clean: dirty, safe: dangerous, tall: short, cheap: expensive, dead: alive",
)
_CAPITALS = (
    "France: Paris, Germany: Berlin, Italy: Rome, Spain: Madrid, Portugal: Lisbon, Greece: Athens, Austria: Vienna, "
    "Poland: Warsaw, Hungary: Budapest, Norway: Oslo, Sweden: Stockholm, Finland: Helsinki, Denmark: Copenhagen, "
    "Ireland: Dublin, Belgium: Brussels, Russia: Moscow, Bulgaria: Sofia, Croatia: Zagreb, Serbia: Belgrade",
    "Japan: Tokyo, China: Beijing, Egypt: Cairo, Kenya: Nairobi, Canada: Ottawa, Cuba: Havana, Peru: Lima, "
    "Chile: Santiago, Argentina: Buenos Aires, Thailand: Bangkok, Vietnam: Hanoi, Iran: Tehran, Iraq: Baghdad, "
    "Turkey: Ankara, Australia: Canberra, South Korea: Seoul, Indonesia: Jakarta, Lebanon: Beirut, Nepal: Kathmandu",
)
_LANGUAGES = (
    "Brazil: Portuguese, France: French, Germany: German, Italy: Italian, Japan: Japanese, Greece: Greek, "
    "Russia: Russian, Poland: Polish, Mexico: Spanish, Hungary: Hungarian, Finland: Finnish, Sweden: Swedish, "
    "Denmark: Danish, Austria: German, Turkey: Turkish, Thailand: Thai, Vietnam: Vietnamese, Argentina: Spanish"
)
_CONTINENTS = (
    "Kenya: Africa, Nigeria: Africa, Morocco: Africa, Ghana: Africa, Japan: Asia, India: Asia, Thailand: Asia, "
    "Nepal: Asia, France: Europe, Poland: Europe, Italy: Europe, Norway: Europe, Greece: Europe, "
    "Brazil: South America, Peru: South America, Chile: South America, Canada: North America, Mexico: North America"
)
_COLOURS = (
    "grass: green, a ripe banana: yellow, snow: white, coal: black, blood: red, the sky on a clear day: blue, "
    "a lemon: yellow, a strawberry: red, milk: white, chocolate: brown, a carrot: orange, a ripe tomato: red, "
    "a frog: green, spinach: green, a polar bear: white, a flamingo: pink, a crow: black, a cucumber: green, "
    "a pumpkin: orange, a sunflower: yellow, a fire engine: red"
)
_YOUNG = (
    "dog: puppy, cat: kitten, cow: calf, sheep: lamb, horse: foal, hen: chick, duck: duckling, pig: piglet, goat: kid, "
    "lion: cub, frog: tadpole, goose: gosling, deer: fawn, kangaroo: joey, swan: cygnet, seal: pup, owl: owlet"
)
_PLURALS = (
    "mouse: mice, child: children, man: men, woman: women, foot: feet, tooth: teeth, goose: geese, leaf: leaves, "
    "knife: knives, city: cities, box: boxes, bus: buses, baby: babies, wolf: wolves, ox: oxen, church: churches, "
    "potato: potatoes, dog: dogs, wife: wives, half: halves, berry: berries, story: stories, dish: dishes"
)
_PAST = (
    "go: went, eat: ate, see: saw, run: ran, take: took, come: came, give: gave, write: wrote, sing: sang, "
    "drink: drank, buy: bought, think: thought, begin: began, know: knew, speak: spoke, drive: drove, fly: flew, "
    "sleep: slept, swim: swam, teach: taught, walk: walked, play: played, find: found, break: broke"
)
_PROVERBS = (
    "An apple a day keeps the doctor: away, Actions speak louder than: words, Better late than: never, "
    "Practice makes: perfect, The early bird catches the: worm, Two heads are better than: one, "
    "Honesty is the best: policy, Do not judge a book by its: cover, Birds of a feather flock: together, "
    "All that glitters is not: gold, Where there is smoke there is: fire, Every cloud has a silver: lining, "
    "Rome was not built in a: day, Blood is thicker than: water, Curiosity killed the: cat, Time is: money"
)
_PHRASES = (
    "Once upon a: time, Ladies and: gentlemen, salt and: pepper, Merry: Christmas, Happy birthday to: you, "
    "Twinkle twinkle little: star, knives and: forks, thunder and: lightning, bread and: butter, king and: queen, "
    "a cup of: tea, husband and: wife, Good night and sweet: dreams, ready steady: go, the sun and the: moon"
)
_ELEMENTS = (
    "O: oxygen, H: hydrogen, C: carbon, N: nitrogen, He: helium, Fe: iron, Au: gold, Ag: silver, Na: sodium, "
    "K: potassium, Ca: calcium, Cu: copper, Pb: lead, Cl: chlorine, Zn: zinc, Ne: neon, Mg: magnesium, Sn: tin, "
    "Hg: mercury, Ni: nickel, Li: lithium, I: iodine, U: uranium"
)
_SPANISH = (
    "dog: perro, cat: gato, house: casa, water: agua, sun: sol, moon: luna, book: libro, milk: leche, red: rojo, "
    "black: negro, white: blanco, friend: amigo, city: ciudad, night: noche, hand: mano, bread: pan, fire: fuego, "
    "sea: mar, table: mesa, door: puerta, school: escuela, hello: hola"
)
_FRENCH = (
    "dog: chien, cat: chat, house: maison, water: eau, sun: soleil, moon: lune, book: livre, milk: lait, red: rouge, "
    "black: noir, white: blanc, friend: ami, night: nuit, bread: pain, hello: bonjour, thank you: merci, yes: oui, "
    "fire: feu, apple: pomme, door: porte, king: roi, queen: reine, green: vert"
)
_JOBS = (
    "bakes bread: baker, flies planes: pilot, grows crops: farmer, repairs pipes: plumber, acts in films: actor, "
    "sings songs: singer, designs buildings: architect, looks after teeth: dentist, sews suits: tailor, "
    "drives a taxi: driver, takes photographs: photographer, studies the stars: astronomer, plays the piano: pianist, "
    "makes tables of wood: carpenter, tends a garden: gardener, travels into space: astronaut, "
    "teaches at a school: teacher, heals sick people: doctor, cooks in a restaurant: chef, reigns with a crown: king"
)
_THINGS = (
    "tells the time: clock, opens a lock: key, keeps off the rain: umbrella, sweeps the floor: broom, "
    "cuts paper: scissors, keeps food cold: refrigerator, shows you your face: mirror, drives in nails: hammer, "
    "makes far things look near: telescope, tells the temperature: thermometer, shows where north is: compass, "
    "cleans your teeth: toothbrush"
)
_LIVING = (
    "rose: plant, oak: plant, tulip: plant, daisy: plant, cactus: plant, fern: plant, pine: plant, lily: plant, "
    "wolf: animal, horse: animal, shark: animal, rabbit: animal, goat: animal, tiger: animal, bear: animal, cow: animal"
)
_FOOD = (
    "apple: fruit, banana: fruit, cherry: fruit, pear: fruit, mango: fruit, plum: fruit, grape: fruit, melon: fruit, "
    "carrot: vegetable, cabbage: vegetable, onion: vegetable, potato: vegetable, leek: vegetable, turnip: vegetable"
)
_SWIMMERS = (
    "salmon: fish, trout: fish, cod: fish, tuna: fish, herring: fish, carp: fish, sardine: fish, pike: fish, "
    "eagle: bird, owl: bird, sparrow: bird, robin: bird, pigeon: bird, parrot: bird, swan: bird, crow: bird"
)

# skill, template, context, question, facts, whether the other answers must not be named too
_ROWS: tuple[tuple[str, str, str, str, Facts, bool], ...] = (
    ("opposite", "adjectives", "words", 'What is the opposite of "{}"?', _facts(_OPPOSITES[0]), False),
    ("opposite", "mixed", "words", 'Name the word that means the opposite of "{}".', _facts(_OPPOSITES[1]), False),
    ("capital", "europe", "geography", "What is the capital of {}?", _facts(_CAPITALS[0]), True),
    ("capital", "world", "geography", "Which city is the capital of {}?", _facts(_CAPITALS[1]), True),
    ("country", "language", "languages", "Which language is spoken in {}?", _facts(_LANGUAGES), True),
    ("country", "continent", "geography", "On which continent is {}?", _facts(_CONTINENTS), True),
    ("calendar", "day-after", "calendar", "Which day comes after {}?", _next(LISTS["day"], 1), True),
    ("calendar", "month-after", "calendar", "Which month comes after {}?", _next(LISTS["month"], 1), True),
    ("calendar", "month-before", "calendar", "Which month comes before {}?", _next(LISTS["month"], -1), True),
    ("count", "after", "numbers", "Which number comes after {}?", {str(n): str(n + 1) for n in range(11, 99)}, False),
    ("count", "before", "numbers", "Which number comes before {}?", {str(n): str(n - 1) for n in range(11, 99)}, False),
    (
        "count", "row", "numbers", "Which number comes next: {}?",
        {_row(a, step): str(a + 4 * step) for a in range(1, 13) for step in (1, 2, 3, 5, 10)}, False,
    ),
    (
        "sums", "plus", "schools", "What is {}?",
        {f"{a} + {b}": str(a + b) for a in range(2, 10) for b in range(2, 10)}, False,
    ),
    (
        "sums", "times", "schools", "How much is {}?",
        {f"{a} times {b}": str(a * b) for a in range(2, 11) for b in range(2, 11)}, False,
    ),
    ("colour", "things", "nature", "What colour is {}?", _facts(_COLOURS), True),
    ("animals", "young", "nature", "What is a young {} called?", _facts(_YOUNG), False),
    ("grammar", "plural", "words", 'What is the plural of "{}"?', _facts(_PLURALS), False),
    ("grammar", "past", "words", 'What is the past tense of "{}"?', _facts(_PAST), False),
    ("phrase", "proverb", "sayings", "Complete the proverb: {} ...", _facts(_PROVERBS), False),
    ("phrase", "common", "sayings", 'Which word comes next: "{} ..."?', _facts(_PHRASES), False),
    ("science", "element", "science", "Which chemical element has the symbol {}?", _facts(_ELEMENTS), True),
    ("translate", "spanish", "languages", 'What is "{}" in Spanish?', _facts(_SPANISH), False),
    ("translate", "french", "languages", 'Translate the word "{}" into French.', _facts(_FRENCH), False),
    ("name", "job", "work", "What do we call a person who {}?", _facts(_JOBS), False),
    ("name", "thing", "homes", "Which thing {}?", _facts(_THINGS), False),
    ("sort", "living", "nature", "Is this an animal or a plant: {}?", _facts(_LIVING), True),
    ("sort", "food", "cooking", "Is this a fruit or a vegetable: {}?", _facts(_FOOD), True),
    ("sort", "swimmers", "nature", "Is this a bird or a fish: {}?", _facts(_SWIMMERS), True),
)  # fmt: skip


def _template(skill: str, name: str, context: str, question: str, facts: Facts, alone: bool) -> Template:
    questions = list(facts)

    def make(random: Random) -> Made:
        asked = random.choice(questions)
        answer = facts[asked]
        # What the question names may be named in the answer too: "The day after Monday is Tuesday."
        others = sorted(set(facts.values()) - {answer, asked}) if alone else []
        grader = {"name": "mentions", "allow": ["case"], "others": others}
        return Made(question.format(asked), answer, grader)

    return Template(f"knowledge.{skill}.{name}", context, make)


TEMPLATES = tuple(_template(*row) for row in _ROWS)
