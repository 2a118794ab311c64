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


def _next(words: tuple[str, ...]) -> Facts:
    """Each word of a circle with the one after it."""
    return {word: words[(place + 1) % len(words)] for place, word in enumerate(words)}


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
_CITIES = (
    "Munich: Germany, Barcelona: Spain, Milan: Italy, Lyon: France, Kyoto: Japan, Mumbai: India, Shanghai: China, "
    "Toronto: Canada, Sydney: Australia, Rio de Janeiro: Brazil, Istanbul: Turkey, Alexandria: Egypt, Krakow: Poland, "
    "Hamburg: Germany, Venice: Italy, Seville: Spain, Osaka: Japan, Vancouver: Canada, Melbourne: Australia, "
    "Marseille: France, Cape Town: South Africa, Casablanca: Morocco, Geneva: Switzerland, Salzburg: Austria"
)
_LANDMARKS = (
    "the Eiffel Tower: France, the Taj Mahal: India, the Great Wall: China, the Colosseum: Italy, the Statue of "
    "Liberty: United States, Machu Picchu: Peru, Mount Fuji: Japan, the Acropolis: Greece, Petra: Jordan, Angkor Wat: "
    "Cambodia, the Kremlin: Russia, the Louvre: France, the Brandenburg Gate: Germany, the Alhambra: Spain, Mount "
    "Kilimanjaro: Tanzania, the Great Sphinx: Egypt, the Forbidden City: China, the Leaning Tower of Pisa: Italy"
)
_CURRENCIES = (
    "Japan: yen, India: rupee, Mexico: peso, Switzerland: franc, Poland: zloty, Thailand: baht, Germany: euro, Italy: "
    "euro, Spain: euro, the United States: dollar, Canada: dollar, Australia: dollar, the United Kingdom: pound, "
    "Israel: shekel, South Africa: rand, Vietnam: dong, Turkey: lira"
)
_AUTHORS = (
    "Romeo and Juliet: Shakespeare, Macbeth: Shakespeare, Oliver Twist: Dickens, Great Expectations: Dickens, "
    "Pride and Prejudice: Austen, The Odyssey: Homer, Don Quixote: Cervantes, War and Peace: Tolstoy, "
    "Moby-Dick: Melville, Animal Farm: Orwell, Faust: Goethe, The Divine Comedy: Dante, Frankenstein: Shelley, "
    "Dracula: Stoker, The Hobbit: Tolkien, The Republic: Plato, Robinson Crusoe: Defoe, Treasure Island: Stevenson, "
    "The Time Machine: Wells, The Raven: Poe, Walden: Thoreau, The Great Gatsby: Fitzgerald"
)
_PAINTERS = (
    "the Mona Lisa: Leonardo, The Starry Night: Gogh, Guernica: Picasso, The Scream: Munch, The Night Watch: "
    "Rembrandt, Girl with a Pearl Earring: Vermeer, The Birth of Venus: Botticelli, the ceiling of the Sistine "
    "Chapel: Michelangelo, Liberty Leading the People: Delacroix, American Gothic: Wood, The School of Athens: "
    "Raphael"
)
_KNOWN_FOR = (
    "found the laws of motion: Newton, invented the telephone: Bell, discovered penicillin: Fleming, described "
    "evolution by natural selection: Darwin, discovered radium: Curie, invented dynamite: Nobel, built the first "
    "printing press in Europe: Gutenberg, invented the battery: Volta, sailed to America in 1492: Columbus, found the "
    "theory of relativity: Einstein, composed the Ninth Symphony with the Ode to Joy: Beethoven, composed The Magic "
    "Flute: Mozart, was the first president of the United States: Washington, led India to independence without "
    "violence: Gandhi, drew up the periodic table of the elements: Mendeleev"
)
_COLOURS = (
    "grass: green, a ripe banana: yellow, snow: white, coal: black, blood: red, the sky on a clear day: blue, "
    "a lemon: yellow, a strawberry: red, milk: white, chocolate: brown, a carrot: orange, a ripe tomato: red, "
    "a frog: green, spinach: green, a polar bear: white, a flamingo: pink, a crow: black, a cucumber: green, "
    "a pumpkin: orange, a sunflower: yellow, a fire engine: red"
)
_PLURALS = (
    "mouse: mice, child: children, man: men, woman: women, foot: feet, tooth: teeth, goose: geese, leaf: leaves, "
    "knife: knives, city: cities, box: boxes, bus: buses, baby: babies, wolf: wolves, ox: oxen, church: churches, "
    "potato: potatoes, dog: dogs, wife: wives, half: halves, berry: berries, story: stories, dish: dishes"
)
_PAST = (
    "go: went, eat: ate, see: saw, run: ran, take: took, come: came, give: gave, write: wrote, sing: sang, drink: "
    "drank, buy: bought, think: thought, begin: began, know: knew, speak: spoke, drive: drove, fly: flew, sleep: "
    "slept, swim: swam, teach: taught, walk: walked, play: played, find: found, break: broke"
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
    ("country", "city", "travel", "In which country is the city of {}?", _facts(_CITIES), True),
    ("country", "landmark", "travel", "In which country is {}?", _facts(_LANDMARKS), True),
    ("country", "currency", "money", "What is the currency of {}?", _facts(_CURRENCIES), True),
    ("person", "author", "books", "Who wrote {}?", _facts(_AUTHORS), True),
    ("person", "painter", "arts", "Who painted {}?", _facts(_PAINTERS), True),
    ("person", "known-for", "history", "Who {}?", _facts(_KNOWN_FOR), True),
    ("calendar", "day-after", "calendar", "Which day comes after {}?", _next(LISTS["day"]), True),
    (
        "sums", "plus", "schools", "What is {}?",
        {f"{a} + {b}": str(a + b) for a in range(2, 10) for b in range(2, 10)}, False,
    ),
    (
        "sums", "times", "schools", "How much is {}?",
        {f"{a} times {b}": str(a * b) for a in range(2, 11) for b in range(2, 11)}, False,
    ),
    ("colour", "things", "nature", "What colour is {}?", _facts(_COLOURS), True),
    ("grammar", "plural", "words", 'What is the plural of "{}"?', _facts(_PLURALS), False),
    ("grammar", "past", "words", 'What is the past tense of "{}"?', _facts(_PAST), False),
    ("phrase", "proverb", "sayings", "Complete the proverb: {} ...", _facts(_PROVERBS), False),
    ("phrase", "common", "sayings", 'Which word comes next: "{} ..."?', _facts(_PHRASES), False),
    ("science", "element", "science", "Which chemical element has the symbol {}?", _facts(_ELEMENTS), True),
    ("translate", "spanish", "languages", 'What is "{}" in Spanish?', _facts(_SPANISH), False),
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
