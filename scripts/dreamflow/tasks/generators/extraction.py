"""Extraction: one field out of a text of everyday business, without a word around it."""

from random import Random

from .base import EXACT, Made, Template, fill

# skill, template, context, the slot that is asked for, prompt
_ROWS = (
    (
        "order-number", "late-parcel", "e-mails", "order",
        "Hello, I am {person}. My parcel from order {order} has not come to {city}. Please call {phone}.\n\n"
        "Give only the order number.",
    ),
    (
        "order-number", "packing-slip", "deliveries", "order",
        "What is the order number? Answer with the order number alone.\n\n"
        "Packing slip {sku}\nOrder: {order}\nShip to: {person}, {address}, {city}\nItems: {n} x {goods}",
    ),
    (
        "order-number", "chat", "chats", "order",
        "Agent: How can I help?\nCustomer: The {goods} in {order} is broken, ticket {ticket}.\n\n"
        "Write the order number and nothing else.",
    ),
    (
        "order-number", "return-note", "returns", "order",
        "On {date} {firm} took back {n} {goods}s from shipment {sku}, sold under order {order}.\n\n"
        "Copy the order number. No other words.",
    ),
    (
        "invoice-number", "reminder", "invoices", "invoice",
        "Dear {person}, invoice {invoice} of {date} over {amount} euros for order {order} is still open.\n\n"
        "Give only the invoice number.",
    ),
    (
        "invoice-number", "booking", "accounts", "invoice",
        "Which invoice was paid? Answer with its number alone.\n\n"
        "{iso}: received {amount} EUR from {firm}, reference {invoice}, booked by {first}.",
    ),
    (
        "invoice-number", "question", "e-mails", "invoice",
        "Hi {first}, why does {invoice} list {n} {tool}s when order {order} had fewer? Regards, {person}\n\n"
        "Extract the invoice number. Write nothing else.",
    ),
    (
        "amount", "receipt", "receipts", "amount",
        "{firm}, {city}\n{iso} {time}\n{n} x {goods}\nTotal: {amount} EUR\nServed by {first}\n\n"
        "Give only the total as a number.",
    ),
    (
        "amount", "refund", "e-mails", "amount",
        "How much is refunded? Answer with the number alone.\n\n"
        "Dear {person}, for order {order} of {date} we refund {amount} euros within {n} days.",
    ),
    (
        "amount", "fare", "travel", "amount",
        "The {train} from {city} to {city2} leaves at {time} from platform {platform}; a ticket is {amount} euros.\n\n"
        "Write the price of a ticket as a number and nothing else.",
    ),
    (
        "amount", "rent", "contracts", "amount",
        "From {date} the room at {address} costs {amount} euros a month, due on day {n}. Tenant: {person}.\n\n"
        "Copy the monthly rent as a number. No other words.",
    ),
    (
        "date", "appointment", "calendars", "date",
        "Dear {person}, your visit to our {city} office is on {date} at {time}, room {room}.\n\n"
        "Give only the date, as it is written.",
    ),
    (
        "date", "warranty", "product data", "date",
        "When does the warranty end? Answer with the date alone, as it is written.\n\n"
        "{goods} {sku}, made by {firm}, version {version}. Warranty until {date}.",
    ),
    (
        "date", "minutes", "minutes", "date",
        "Minutes by {person}: {n} people met in {city}. The next meeting about {topic} is on {date}.\n\n"
        "Write the date of the next meeting as it is written, and nothing else.",
    ),
    (
        "date", "lease", "contracts", "date",
        "{firm} leases {n} {tool}s to {person} for {amount} euros. The lease begins on {date} in {city}.\n\n"
        "Copy the date on which the lease begins. No other words.",
    ),
    (
        "time", "departure", "timetables", "time",
        "{train} to {city}, platform {platform}, departs at {time}. Delay: none. Next train: {train2}.\n\n"
        "Give only the time of departure.",
    ),
    (
        "time", "dentist", "messages", "time",
        "At what time is the appointment? Answer with the time alone.\n\n"
        "Hi {first}, Dr {person} can see you on {day} at {time} at {address}. Call {phone} if not.",
    ),
    (
        "time", "backup-log", "logs", "time",
        "{iso} {time} {host} backup of {service} done, {hundred} files, code {code}.\n\n"
        "Write the time of this entry and nothing else.",
    ),
    (
        "email", "signature", "e-mails", "email",
        "Best regards\n{person}\n{firm}, {address}, {city}\nTel. {phone}\n{email}\n\n"
        "Give only the e-mail address.",
    ),
    (
        "email", "notice", "notices", "email",
        "Which e-mail address is given? Answer with the address alone.\n\n"
        "Lost on {day}: a {colour} {goods} near the {shop}. Write to {email} or ask for {first}.",
    ),
    (
        "email", "form", "forms", "email",
        "Name: {person}\nContact: {email}\nCity: {city}\nOrder: {order}\nTopic: {topic}\n\n"
        "Extract the e-mail address. Write nothing else.",
    ),
    (
        "email", "job-ad", "job ads", "email",
        "{firm} in {city} looks for a {job} from {month} on. Send your papers to {email} until {date}.\n\n"
        "Copy the e-mail address. No other words.",
    ),
    (
        "phone", "card", "contacts", "phone",
        "{person}, {job}\n{address}, {city}\n{phone}\n{email}\n\nGive only the phone number.",
    ),
    (
        "phone", "voicemail", "messages", "phone",
        "What number should be called? Answer with the phone number alone.\n\n"
        "{first} from {firm} called at {time} about ticket {ticket}. Please ring {phone} on {day}.",
    ),
    (
        "phone", "flyer", "notices", "phone",
        "{instrument} lessons in {city}, {amount} euros an hour. Ask for {person}: {phone}, any {day}.\n\n"
        "Write the phone number and nothing else.",
    ),
    (
        "person", "contract", "contracts", "person",
        "This contract of {date} is between {firm} and {person}, living at {address}, {city}.\n\n"
        "Give only the full name of the person.",
    ),
    (
        "person", "award", "news", "person",
        "Who won the prize? Answer with the full name alone.\n\n"
        "{city}, {date}. The {sport} prize of {amount} euros went to {person}, a {job} from {city2}.",
    ),
    (
        "person", "shift", "schedules", "person",
        "{day} {time}: {person} opens the {shop}, key {room}, alarm code {code}.\n\n"
        "Write the full name and nothing else.",
    ),
    (
        "city", "shipment", "deliveries", "city",
        "Order {order}: {n} {goods}s go by truck to {city}, attention of {person}, on {date}.\n\n"
        "Give only the city.",
    ),
    (
        "city", "branch", "notices", "city",
        "In which city is the new branch? Answer with the city alone.\n\n"
        "{firm} opens a new branch in {city} on {date}. {person} will lead it with {n} people.",
    ),
    (
        "city", "weather", "reports", "city",
        "Report {sku}, {iso}: {percent} percent humidity in {city}, measured by {first} at {time}.\n\n"
        "Extract the city. Write nothing else.",
    ),
    (
        "firm", "supplier", "product data", "firm",
        "Article {sku}: {material} {goods}, {amount} EUR, supplied by {firm}, stored in {room}.\n\n"
        "Give only the name of the supplier.",
    ),
    (
        "firm", "letter", "letters", "firm",
        "Which firm wrote? Answer with the name of the firm alone.\n\n"
        "Dear {person}, thank you for order {order} of {date}. Yours, {firm}, {city}",
    ),
    (
        "firm", "visit", "calendars", "firm",
        "{day} {time}: {person} of {firm} visits us about {topic}, room {room}, {n} guests.\n\n"
        "Write the name of the firm and nothing else.",
    ),
    (
        "error-code", "crash", "logs", "code",
        "{iso} {time} {host} {service} stopped with {code} after {hundred} requests from {ip}.\n\n"
        "Give only the error code.",
    ),
    (
        "error-code", "printer", "chats", "code",
        "What error code is shown? Answer with the code alone.\n\n"
        "{first}: The printer in {room} shows {code} since {time}. It printed {n} pages for {person}.",
    ),
    (
        "error-code", "ticket", "tickets", "code",
        "Ticket {ticket} by {person}, {date}: after the update to {version} the {service} page says {code}.\n\n"
        "Copy the error code. No other words.",
    ),
    (
        "ip-address", "login", "logs", "ip",
        "{iso} {time} {service}: user {first} logged in from {ip}, host {host}, session {ticket}.\n\n"
        "Give only the IP address.",
    ),
    (
        "ip-address", "inventory", "inventories", "ip",
        "Which IP address does the machine have? Answer with the address alone.\n\n"
        "{host}, room {room}, system {version}, address {ip}, in use since {date}, owner {person}.",
    ),
    (
        "version", "release", "release notes", "version",
        "{service} {version} was released on {date}. It fixes {code} and {n} smaller errors. Thanks to {person}.\n\n"
        "Give only the version number.",
    ),
    (
        "version", "bug", "tickets", "version",
        "Which version has the error? Answer with the version alone.\n\n"
        "{person} reports {code} in {service} {version} on {host}, seen {n} times since {iso}.",
    ),
    (
        "room", "seminar", "schedules", "room",
        "{day}, {time}: seminar on {topic} with {person}, room {room}, {n} seats, ticket {ticket}.\n\n"
        "Give only the room.",
    ),
    (
        "room", "hotel", "travel", "room",
        "In which room does the guest stay? Answer with the room alone.\n\n"
        "Guest {person} from {city}, arrival {date}, {n} nights, room {room}, {amount} EUR, order {order}.",
    ),
    (
        "product", "stock", "inventories", "goods",
        "Stock of {iso}: {n} pieces of the {colour} {goods}, article {sku}, shelf {room}, {firm}.\n\n"
        "Give only the product in one word, without its colour.",
    ),
    (
        "product", "complaint", "e-mails", "goods",
        "Which product is broken? Answer with one word.\n\n"
        "Dear {firm}, the {goods} of order {order} arrived broken on {day}. I paid {amount} euros. {person}",
    ),
)  # fmt: skip


def _template(skill: str, name: str, context: str, slot: str, text: str) -> Template:
    def make(random: Random) -> Made:
        prompt, values = fill(random, text)
        return Made(prompt, values[slot], EXACT)

    return Template(f"extraction.{skill}.{name}", context, make)


TEMPLATES = tuple(_template(*row) for row in _ROWS)
