"""Checks of an order before it is charged."""

import re
from decimal import Decimal, InvalidOperation

ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]{2,}")
COUNTRIES = ("AT", "CH", "DE", "FR", "NL")
REVIEW_ABOVE = 1500


def to_money(value: object) -> Decimal | None:
    """The amount in whole cents, or None; through text, since a float carries cents inexactly."""
    try:
        amount = Decimal(str(value)).quantize(Decimal("0.01"))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def validate_order(order: dict, max_quantity: int = 99, max_discount: float = 0.3) -> dict:
    """What an order {email, country, discount, lines: [{sku, quantity, price}]} costs, and what is wrong with it.

    Returns {accepted, review, total, problems}; `review` asks a person to look at an order that is accepted.
    """
    problems = []
    seen = set()
    total = Decimal("0.00")
    if not ADDRESS.fullmatch(str(order.get("email", ""))):
        problems.append("email: not an address")
    if order.get("country") not in COUNTRIES:
        problems.append(f"country: not one of {', '.join(COUNTRIES)}")
    lines = order.get("lines") or []
    if not lines:
        problems.append("lines: there are none")
    for number, line in enumerate(lines, start=1):
        sku, quantity, price = line.get("sku"), line.get("quantity"), to_money(line.get("price"))
        if sku in seen:
            problems.append(f"line {number}: {sku} is there twice")
        seen.add(sku)
        if not isinstance(quantity, int) or not 1 <= quantity <= max_quantity:
            problems.append(f"line {number}: quantity {quantity!r} is not between 1 and {max_quantity}")
        elif price is None or price < 0:
            problems.append(f"line {number}: price {line.get('price')!r} is no amount")
        else:
            total += quantity * price
    discount = order.get("discount", 0)
    if not isinstance(discount, int | float) or not 0 <= discount <= max_discount:
        problems.append(f"discount: {discount!r} is not between 0 and {max_discount}")
        discount = 0
    total -= to_money(total * Decimal(str(discount)))
    accepted = not problems
    # a large order from a new place is what stolen cards are used for
    review = accepted and (total > REVIEW_ABOVE or (order.get("new_customer", False) and len(lines) >= 5))
    return {"accepted": accepted, "review": review, "total": str(total), "problems": problems}
