"""The estimate of tokens against the counts of a real tokenizer, and on anything."""

import pytest
from dreamflow.generation.tokens import estimate_tokens
from hypothesis import given
from hypothesis import strategies as st

# Texts that the estimate was not fitted on, and their tokens in o200k_base (tiktoken 0.14.0).
TEXTS = {
    "English, advice": (
        117,
        "I moved the seedlings outside last week, and now their leaves are turning yellow at the edges. The night"
        "s are still cold, around eight degrees, but the days get really warm. Should I bring them back in, or is"
        " it just the shock of the change? I water them every morning.\n"
        "\n"
        "Yellow edges usually mean one of two things: too much water, or a sudden change of light. Put them in th"
        "e shade for three days, let the soil dry until the top centimetre feels crumbly, and then give them the "
        "sun again, a couple of hours at a time."
    ),
    "English, technical": (
        104,
        "The request fails because the server closes idle connections after sixty seconds, while your pool keeps "
        "them for five minutes. When a worker picks up one of those dead sockets, the first write succeeds (the k"
        "ernel only buffers it) and the read returns nothing. Either lower the pool's idle timeout below the serv"
        "er's, or enable TCP keep-alive. I would do the former: it costs nothing and it is easy to test. Also not"
        "e that retries are only safe for idempotent calls, such as GET or PUT."
    ),
    "Chinese, everyday": (
        144,
        "我打算下个月带爸妈去云南玩一个星期，他们年纪大了，不想太赶。昆明、大理、丽江三个地方，你觉得怎么安排比较合适"
        "？\n"
        "\n"
        "如果不想太累，建议去掉昆明，直接飞到大理，住四天，再坐动车去丽江住三天。大理可以在洱海边慢慢走走，早上看日出"
        "，下午喝茶；丽江的古城人比较多，住在束河会安静一些。高原上昼夜温差大，记得给老人带一件厚外套，头两天不要喝酒"
        "，也不要走太快。"
    ),
    "Chinese, technical": (
        91,
        "这个错误是因为数据库连接没有及时释放。每次请求都会新建一个连接，但是出现异常的时候没有执行关闭操作，时间一长"
        "连接池就满了。你可以用上下文管理器来保证连接一定会被关闭，或者在框架里配置最大空闲时间。另外，建议把慢查询日"
        "志打开，看看是不是有语句执行超过一秒钟，如果有，先检查索引是否生效。"
    ),
    "Chinese with English words": (
        68,
        "我在用 Python 写一个爬虫，requests 库总是返回 403，是不是需要加 headers？对，很"
        "多网站会检查 User-Agent，你可以先在浏览器里打开 DevTools，把请求头复制过来。如果还不行，"
        "就要考虑 cookie 或者用 Playwright 来模拟真实的浏览器。"
    ),
    "Japanese, everyday": (
        185,
        "来週、友達の結婚式でスピーチを頼まれたのですが、何を話せばいいのか全然思いつきません。新郎とは大学のサークル"
        "で知り合って、もう十年の付き合いになります。三分くらいで、笑いもあって最後は少し感動できるような内容にしたい"
        "です。\n"
        "\n"
        "おめでとうございます。まずは自己紹介と出会いの話から始めるのがおすすめです。次に、二人だけが知っている小さな"
        "失敗談を一つ入れると、会場の雰囲気が和らぎます。最後に、新婦と出会ってから彼がどう変わったかを話せば、自然と"
        "温かい気持ちで締めくくれますよ。"
    ),
    "Japanese, technical": (
        114,
        "サーバーのメモリ使用量が少しずつ増えていく場合、まずはキャッシュの設定を確認してください。古いデータが削除さ"
        "れずに残っている可能性があります。次に、プロファイラーを使って、どのオブジェクトが増えているのかを調べます。"
        "原因が分からないときは、一時的にワーカーを定期的に再起動する方法もありますが、根本的な解決にはなりません。"
    ),
    "German": (
        100,
        "Ich habe meinen Mietvertrag zum Ende des Monats gekündigt, aber der Vermieter sagt, die Frist betrage dr"
        "ei Monate. Stimmt das? Ja, für unbefristete Mietverträge gilt in Deutschland eine gesetzliche Kündigungs"
        "frist von drei Monaten. Sie können aber einen Nachmieter vorschlagen; viele Vermieter lassen sich darauf"
        " ein, wenn die Wohnung dadurch nicht leer steht. Schreiben Sie ihm am besten einen freundlichen Brief un"
        "d nennen Sie darin zwei oder drei Bewerber."
    ),
    "Russian": (
        98,
        "Я хочу испечь хлеб на закваске, но тесто каждый раз получается слишком жидким и не держит форму. Мука об"
        "ычная, пшеничная, воды беру семьсот граммов на килограмм. Попробуйте уменьшить количество воды до шестис"
        "от пятидесяти граммов и дольше вымешивать тесто. Ещё важно, чтобы закваска была сильной: она должна удва"
        "иваться за четыре часа в тёплом месте."
    ),
    "code, Python": (
        193,
        "def load_rows(path: Path, *, limit: int | None = None) -> list[dict[str, str]]:\n"
        '    """Read a CSV file and return its rows."""\n'
        "    rows = []\n"
        '    with path.open(encoding="utf-8", newline="") as stream:\n'
        "        for index, row in enumerate(csv.DictReader(stream)):\n"
        "            if limit is not None and index >= limit:\n"
        "                break\n"
        '            if not row.get("id"):\n'
        '                raise ValueError(f"{path}:{index + 2}: no id")\n'
        "            rows.append({key.strip(): value for key, value in row.items()})\n"
        "    return rows\n"
        "\n"
        "\n"
        "class Cache:\n"
        "    def __init__(self, size=128):\n"
        "        self.size = size\n"
        "        self._items = OrderedDict()\n"
        "\n"
        "    def get(self, key, default=None):\n"
        "        if key in self._items:\n"
        "            self._items.move_to_end(key)\n"
        "            return self._items[key]\n"
        "        return default\n"
    ),
    "code, JavaScript": (
        140,
        "export async function fetchUser(id, { retries = 3, signal } = {}) {\n"
        "  for (let attempt = 0; attempt < retries; attempt++) {\n"
        "    const response = await fetch(`/api/users/${id}`, { signal });\n"
        "    if (response.ok) {\n"
        "      const { name, email, createdAt } = await response.json();\n"
        "      return { name, email, createdAt: new Date(createdAt) };\n"
        "    }\n"
        "    if (response.status !== 503) {\n"
        "      throw new Error(`Request failed: ${response.status}`);\n"
        "    }\n"
        "    await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** attempt));\n"
        "  }\n"
        "  return null;\n"
        "}\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("tokens", "text"), TEXTS.values(), ids=TEXTS)
def test_estimate_is_right_within_15_percent(tokens, text):
    assert estimate_tokens(text) == pytest.approx(tokens, rel=0.15)


def test_estimate_of_all_together_is_right_within_5_percent():
    tokens = sum(tokens for tokens, _ in TEXTS.values())
    assert sum(estimate_tokens(text) for _, text in TEXTS.values()) == pytest.approx(tokens, rel=0.05)


def test_a_word_a_text_of_nothing_and_a_chinese_sentence():
    assert estimate_tokens("") == 0
    assert estimate_tokens(" ") == estimate_tokens("ok") == estimate_tokens("\n") == 1
    # The design's words * 1.5 makes 2 of this.
    assert estimate_tokens("今天天气很好，我们去公园散步吧。" * 10) > 90


@given(st.text(alphabet=st.characters(codec=None, exclude_categories=())))
def test_any_text_has_at_least_a_token_and_at_most_two_a_character(text):
    assert bool(text) <= estimate_tokens(text) <= 2 * len(text)


@given(st.text(), st.text())
def test_tokens_of_parts_sum_to_those_of_the_whole(one, other):
    # What budgets and windows add up; words of another language next to English ones change their charge.
    whole = estimate_tokens(f"{one}\n{other}")
    assert whole == pytest.approx(estimate_tokens(f"{one}\n") + estimate_tokens(other), rel=0.4, abs=4)


@pytest.mark.parametrize("piece", ["a", " ", "\n", "Aa", "é", "你", "1", ".", "\u200d", "aé", " \t\n", "😀", "\x00"])
def test_half_a_megabyte_of_anything_is_counted(piece):
    # No clock: a pattern that backtracks would need hours here.
    assert estimate_tokens(piece * (500_000 // len(piece))) >= 1


PIECES = st.one_of(
    st.sampled_from(["the", "und", "Straße", "HTTPServer", "12,5", "中文。", "かな", "\nEnd.\n"]), st.text()
)


@given(st.lists(PIECES))
def test_a_single_space_counts_like_any_other_between_words(words):
    """Parts between single spaces are looked up; with another space between them, nothing is."""
    text = " ".join(word for word in words if word and word == word.strip())
    expected = estimate_tokens(text.replace(" ", "\u2003"))
    assert estimate_tokens(text) == expected
    assert estimate_tokens(text) == expected  # from what is known by now
