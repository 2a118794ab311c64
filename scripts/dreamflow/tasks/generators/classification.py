"""Classification: a short text, a few labels, and the one that fits."""

from collections.abc import Mapping, Sequence
from random import Random

from .base import Made, Template, fill

# skill, template, context, question, {label: texts}
_ROWS: tuple[tuple[str, str, str, str, Mapping[str, Sequence[str]]], ...] = (
    (
        "support", "mail", "e-mails", "Which team should answer this mail?",
        {
            "billing": (
                "Invoice {invoice} charges {amount} euros twice.",
                "Why did you take {amount} euros from my account on {date}?",
                "Please send the bill for {goods} {sku} to {firm} instead.",
            ),
            "delivery": (
                "My parcel with the {goods} has not come to {city} yet.",
                "The driver left order {order} in the rain at {address}.",
                "Can you bring the {goods} to {city} on {day} instead?",
            ),
            "technical": (
                "The {service} page shows error {code} when I log in.",
                "Since version {version} the app closes after a few seconds.",
                "{host} does not answer any more, we see {code}.",
            ),
        },
    ),
    (
        "support", "chat", "chats", "What is the customer's request about?",
        {
            "refund": (
                "I sent the {goods} back on {day}, when do I get my {amount} euros?",
                "Order {order} was cancelled, please pay the money back.",
                "I want my money for the broken {goods} back.",
            ),
            "password": (
                "I forgot my password for {service}, {email} is my name there.",
                "The link to choose a new password does not open.",
                "My login is locked after {n} wrong passwords.",
            ),
            "opening hours": (
                "Until when is the {shop} in {city} open on {day}?",
                "Is the {shop} closed in {month}?",
                "From what time on can I come to your {shop}?",
            ),
        },
    ),
    (
        "severity", "service-log", "logs", "How serious is this log entry?",
        {
            "error": (
                "{time} {service}: could not write to disk, {code}",
                "{time} {host}: {service} crashed and stopped",
                "{time} {service}: request failed, connection to {ip} refused",
            ),
            "warning": (
                "{time} {host}: disk almost full, {percent} percent used",
                "{time} {service}: slow answer from {ip}, will try again",
                "{time} {service}: certificate runs out in {n} days",
            ),
            "info": (
                "{time} {service}: started version {version}",
                "{time} {host}: {first} logged in from {ip}",
                "{time} {service}: {hundred} requests answered",
            ),
        },
    ),
    (
        "severity", "machine", "reports", "Does the machine run, or what is wrong with it?",
        {
            "running": (
                "Press {sku}: all lights green, {hundred} parts made by {time}.",
                "Oven in {room} works as it should, {first} checked at {time}.",
                "{goods} line in {city}: no stops on {day}.",
            ),
            "broken": (
                "Press {sku}: the belt tore at {time}, nothing moves.",
                "Oven in {room} stays cold, {code} on the display.",
                "{goods} line in {city}: motor burnt out on {day}.",
            ),
        },
    ),
    (
        "sentiment", "restaurant", "reviews", "Is this review positive or negative?",
        {
            "positive": (
                "The {fruit} cake in {city} was wonderful, and {first} served us with a smile.",
                "Best {ingredient} soup I ever had. We will come back on {day}!",
                "Lovely place near the {shop}, great food and kind people.",
            ),
            "negative": (
                "The {fruit} cake in {city} was dry, and {first} was rude to us.",
                "Cold {ingredient} soup after an hour of waiting. Never again!",
                "Dirty tables near the {shop}, awful food and loud music.",
            ),
        },
    ),
    (
        "sentiment", "product", "reviews", "How does the customer feel about the product?",
        {
            "happy": (
                "This {goods} from {firm} is perfect, I use it every {day}.",
                "I love my new {colour} {goods}, worth all of the {amount} euros.",
                "The {tool} works better than I hoped, thank you {firm}.",
            ),
            "unhappy": (
                "This {goods} from {firm} broke on the first {day}.",
                "I regret buying the {colour} {goods}, {amount} euros thrown away.",
                "The {tool} is useless and feels cheap, shame on {firm}.",
            ),
        },
    ),
    (
        "sentiment", "journey", "travel", "Did the passenger like the journey?",
        {
            "yes": (
                "{train} to {city} was on time, clean and quiet. A pleasure!",
                "Great flight {flight} to {city}, friendly crew, good coffee.",
                "I enjoyed every minute of the ride from {city} to {city2}.",
            ),
            "no": (
                "{train} to {city} was {n} minutes late, dirty and loud. A nightmare!",
                "Terrible flight {flight} to {city}, rude crew, lost luggage.",
                "I hated every minute of the ride from {city} to {city2}.",
            ),
        },
    ),
    (
        "sentence", "grammar", "schools", "What kind of sentence is this?",
        {
            "question": (
                "Where did {first} put the {tool}?",
                "Has the {shop} in {city} opened yet?",
                "How many {fruits} does {first} need?",
            ),
            "statement": (
                "{first} put the {tool} into the {place}.",
                "The {shop} in {city} opened in {year}.",
                "{first} needs {n} {fruits} for the cake.",
            ),
            "command": (
                "Put the {tool} into the {place}, {first}!",
                "Close the door of the {shop} at {time}.",
                "Bring me {n} {fruits}, please.",
            ),
        },
    ),
    (
        "tense", "grammar", "schools", "Does this happen in the past, the present or the future?",
        {
            "past": (
                "{first} painted the {goods} {colour} last {day}.",
                "We travelled to {city} in {year}.",
                "The {animal} slept in the {place} yesterday.",
            ),
            "present": (
                "{first} is painting the {goods} {colour} right now.",
                "We are on the train to {city} at this moment.",
                "The {animal} is sleeping in the {place} now.",
            ),
            "future": (
                "{first} will paint the {goods} {colour} next {day}.",
                "We are going to travel to {city} next {month}.",
                "The {animal} will sleep in the {place} tomorrow.",
            ),
        },
    ),
    (
        "spam", "inbox", "e-mails", "Is this mail spam or normal?",
        {
            "spam": (
                "YOU WON {hundred}000 euros!!! Click now and send your card number!",
                "Lose {n} kilos in a week with the secret {fruit} pill, buy today!!!",
                "Dear friend, a prince left you gold in {city}. Send {amount} euros first.",
            ),
            "normal": (
                "Hi {first}, can we talk about {topic} on {day} at {time}?",
                "The minutes of the meeting in {city} are attached. Best, {person}",
                "Dear {person}, your order {order} will arrive on {date}.",
            ),
        },
    ),
    (
        "weather", "report", "reports", "What is the weather like?",
        {
            "rain": (
                "In {city} people carry umbrellas, and the streets are wet on {day}.",
                "{first} came home from {city} with soaked shoes; it poured until {time}.",
                "Heavy showers fall on {city}, the river rises.",
            ),
            "snow": (
                "In {city} children build a white man with a carrot nose on {day}.",
                "{first} clears the white path in {city} with a shovel until {time}.",
                "Flakes cover the roofs of {city}, sledges are out.",
            ),
            "sun": (
                "In {city} people lie on the beach under a blue sky on {day}.",
                "{first} wears dark glasses and a hat in {city} until {time}.",
                "Not a cloud over {city}, it is bright and warm.",
            ),
        },
    ),
    (
        "file", "extension", "software", "What does this file hold?",
        {
            "image": ("{animal}_{city}.png", "{goods}-{sku}.jpg", "{first}_{year}.gif"),
            "sound": ("{animal}_{city}.mp3", "{instrument}-{sku}.wav", "{first}_{year}.ogg"),
            "text": ("{topic}_{city}.txt", "{goods}-{sku}.md", "letter_{first}_{year}.doc"),
        },
    ),
    (
        "transport", "story", "travel", "How does the person travel?",
        {
            "train": (
                "{first} waits on platform {platform} for the {time} to {city}.",
                "The conductor checks the ticket of {person} before {city}.",
            ),
            "plane": (
                "{first} fastens the seat belt; flight {flight} takes off for {city}.",
                "From above the clouds {person} sees the lights of {city}.",
            ),
            "ship": (
                "{first} stands on deck as the harbour of {city} disappears in the waves.",
                "In cabin {room} {person} feels the sea rolling all the way to {city}.",
            ),
            "bicycle": (
                "{first} pedals up the hill to {city} and rings the bell.",
                "With a flat tyre {person} pushes the two wheels to {city}.",
            ),
        },
    ),
    (
        "taste", "recipe", "recipes", "Is this dish sweet or salty?",
        {
            "sweet": (
                "{first} stirs sugar, honey and {fruits} into the cream.",
                "Bake the {fruit} cake with chocolate for {n} minutes.",
                "Pour caramel over the {fruits} and serve with ice cream.",
            ),
            "salty": (
                "{first} fries bacon, onions and garlic with pepper.",
                "Boil the sausages in broth with salt for {n} minutes, says {first}.",
                "Bake the fish with olives, capers and cheese for {n} minutes.",
            ),
        },
    ),
    (
        "subject", "school", "schools", "Which school subject is this about?",
        {
            "history": (
                "In {year} the king of {city} signed a treaty after the war.",
                "{person} was the last mayor of the old empire's port {city}, until {year}.",
            ),
            "biology": (
                "The heart of a {animal} pumps blood through its veins {hundred} times.",
                "Roots of {fruit} trees take up water, and leaves make sugar from light; {first} drew {n} of them.",
            ),
            "mathematics": (
                "The sum of {n} and {n2} is divided by {n3}; {first} solves for x.",
                "A triangle has sides of {n}, {n2} and {n3} cm. Find its angles.",
            ),
            "music": (
                "The {instrument} plays the melody in C major, the {instrument2} the bass.",
                "{first} practises scales on the {instrument} and reads the notes.",
            ),
        },
    ),
    (
        "tone", "letter", "letters", "Is this text formal or casual?",
        {
            "formal": (
                "Dear Dr {surname}, I am writing to enquire about the position of {job} in {city}.",
                "We hereby confirm receipt of order {order}. Yours faithfully, {person}",
                "It would be a pleasure to receive you in {city} on {date}.",
            ),
            "casual": (
                "Hey {first}, what's up? Fancy a trip to {city} on {day}?",
                "lol {first} totally forgot the {goods} again, see ya {day}",
                "Yo {first}, grab some {fruits} on your way, cheers mate!",
            ),
        },
    ),
    (
        "claim", "newspaper", "news", "Is this a fact or an opinion?",
        {
            "fact": (
                "The {shop} in {city} has {n} rooms and was built in {year}.",
                "{person} was born in {city} in {year}.",
                "On {date} {hundred} people visited the {shop} of {city}.",
            ),
            "opinion": (
                "The {shop} in {city} is the ugliest house I know.",
                "I think {person} should stay a {job} in {city}.",
                "Nobody in {city} cooks better soup than {first}, if you ask me.",
            ),
        },
    ),
    (
        "reply", "meeting", "calendars", "What does this reply do with the invitation?",
        {
            "accept": (
                "Yes, {day} at {time} suits me, see you in room {room}.",
                "Happy to join the {topic} meeting, {first}!",
                "Count me in for {date}.",
            ),
            "decline": (
                "Sorry {first}, I cannot come on {day}, please go on without me.",
                "I have to say no to the {topic} meeting in {city}.",
                "Unfortunately I will not take part on {date}.",
            ),
            "move": (
                "Could we meet on {day} instead of {day2}, {first}?",
                "Please put the {topic} meeting off to {date}.",
                "{time} is too early, would {time2} work as well?",
            ),
        },
    ),
    (
        "expense", "claim", "accounts", "What kind of expense is this?",
        {
            "travel": (
                "{iso} {first}: train ticket to {city}, {amount} EUR",
                "{iso} {first}: taxi from the airport in {city}, {amount} EUR",
                "{iso} {first}: flight {flight}, {amount} EUR",
            ),
            "meals": (
                "{iso} {first}: lunch for {n} guests in {city}, {amount} EUR",
                "{iso} {first}: sandwiches and coffee, {amount} EUR",
                "{iso} {first}: dinner with {firm}, {amount} EUR",
            ),
            "office": (
                "{iso} {first}: printer paper and pens, {amount} EUR",
                "{iso} {first}: {n} folders and a stapler, {amount} EUR",
                "{iso} {first}: new keyboard for room {room}, {amount} EUR",
            ),
        },
    ),
    (
        "language", "phrase", "notices", "In which language is this written?",
        {
            "English": ("The train to {city} leaves at {time}.", "{first} buys {n} books in {city}."),
            "German": ("Der Zug nach {city} fährt um {time}.", "{first} kauft {n} Bücher in {city}."),
            "French": ("Le train pour {city} part à {time}.", "{first} achète {n} livres à {city}."),
            "Spanish": ("El tren a {city} sale a las {time}.", "{first} compra {n} libros en {city}."),
        },
    ),
    (
        "event", "shop-log", "logs", "What did the user do?",
        {
            "search": (
                "{iso} {time} user {first} typed '{goods}' into the search box, {hundred} hits",
                "{iso} {time} {ip} looked for '{colour} {goods}'",
            ),
            "purchase": (
                "{iso} {time} user {first} paid {amount} EUR for {goods} {sku}",
                "{iso} {time} {ip} bought '{colour} {goods}', order {order}",
            ),
            "logout": (
                "{iso} {time} user {first} signed out and left after {n} minutes",
                "{iso} {time} {ip} ended session {ticket} by the exit button",
            ),
        },
    ),
    (
        "category", "catalogue", "product data", "Under which heading does the article belong?",
        {
            "garden": (
                "{sku}: rake with {material} handle, {amount} EUR",
                "{sku}: seeds for {n} tulips, {firm}",
                "{sku}: {colour} watering can, {n} litres",
            ),
            "kitchen": (
                "{sku}: frying pan with {material} handle, {amount} EUR",
                "{sku}: set of {n} soup spoons, {firm}",
                "{sku}: {colour} coffee pot, {n} cups",
            ),
            "bathroom": (
                "{sku}: toothbrush with {material} handle, {amount} EUR",
                "{sku}: {n} bars of soap, {firm}",
                "{sku}: {colour} shower curtain, {hundred} cm",
            ),
        },
    ),
    (
        "kingdom", "sentence", "stories", "Is the thing in this sentence an animal, a plant or a tool?",
        {
            "animal": ("{first} saw a {animal} near the {shop} of {city}.", "A {animal} crossed {address} at {time}."),
            "plant": ("{first} saw a rose near the {shop} of {city}.", "An oak stood by {address} since {year}."),
            "tool": ("{first} bought a {tool} near the {shop} of {city}.", "A {tool} lay at {address} at {time}."),
        },
    ),
    (
        "urgency", "ticket", "tickets", "Is this ticket urgent?",
        {
            "urgent": (
                "{ticket}: nobody in {city} can work, {service} is down, help now!",
                "{ticket}: water runs into the server room {room} right now!",
                "{ticket}: customers of {firm} see data of others, stop it at once!",
            ),
            "can wait": (
                "{ticket}: whenever you have time, make the {service} button {colour}.",
                "{ticket}: a small spelling mistake on page {n}, no hurry.",
                "{ticket}: nice to have next year, a clock on the {service} page for {firm}.",
            ),
        },
    ),
)  # fmt: skip

_ENDINGS = (
    "Answer with one of: {}.",
    "Choose one label: {}. Answer with the label only.",
    "Possible answers: {}. Write one of them and nothing else.",
)
_FREE_ENDINGS = ("Choose from: {}. Answer in one short sentence.", "It is one of these: {}. Say which.")


def _template(
    number: int, skill: str, name: str, context: str, question: str, texts: Mapping[str, Sequence[str]]
) -> Template:
    """Every second template wants the label alone; the others let a model talk, so that they tell what it knows."""
    labels = list(texts)
    endings = _FREE_ENDINGS if number % 2 else _ENDINGS
    ending = endings[number // 2 % len(endings)].format(", ".join(labels))

    def make(random: Random) -> Made:
        label = random.choice(labels)
        text, _ = fill(random, random.choice(texts[label]))
        grader = (
            {"name": "mentions", "others": [other for other in labels if other != label], "allow": ["case"]}
            if number % 2
            else {"name": "one_of", "labels": labels, "allow": ["quotes", "full stop"]}
        )
        return Made(f"{text}\n\n{question} {ending}", label, grader)

    return Template(f"classification.{skill}.{name}", context, make)


TEMPLATES = tuple(_template(number, *row) for number, row in enumerate(_ROWS))
