"""Texts in other encodings are read as they were written, or refused by name; never as other characters."""

import random

import pytest
from dreamflow.chunks.readers.encodings import UnknownEncoding, decode
from dreamflow.chunks.readers.files import read_file

CHINESE = "用户：你好，请问怎么种番茄？\n助手：先育苗，再移到阳光好的地方。\n"
SHORT = "用户：你好\n助手：你好！\n"
TAIWAN = "使用者：請問怎麼學習資料分析？\n助理：建議分三個階段，前兩個月打基礎。\n"
JAPANESE = "ユーザー：引っ越しの手続きを教えてください。\nアシスタント：まず転出届を出します。\n"
KOREAN = "사용자: 안녕하세요, 이사 절차를 알려주세요.\n어시스턴트: 먼저 전출 신고를 합니다.\n"
GERMAN = "Nutzer: Können Sie mir erklären, wie man Brötchen bäckt?\nAssistent: Größe – „wichtig“.\n"
FRENCH = "Utilisateur: Où est l’été ? « Voilà » – très bien\nAssistant: Ça dépend…\n"
SPANISH = "Usuario: ¿Cómo se hace el pan? ¡Gracias!\nAsistente: Con harina, señor.\n"
RUSSIAN = "Пользователь: Привет, как дела? Расскажи про хлеб.\nАссистент: Возьмите муку и воду.\n"
POLISH = "Użytkownik: Cześć, jak upiec chleb żytni?\nAsystent: Weź mąkę i wodę, dodaj sól i drożdże.\n"
CZECH = "Uživatel: Jak upéct žitný chléb? Příště přidám více soli.\nAsistent: Vezměte mouku a vodu.\n"
HUNGARIAN = "Felhasználó: Hogyan süssek kenyeret? Nagyon köszönöm, őszintén.\nAsszisztens: Vizet, tűzön.\n"
TURKISH = "Kullanıcı: Nasıl ekmek yapılır? Teşekkürler, çalışıyorum.\nAsistan: Un ve su alın, mayayı ekleyin.\n"
ENGLISH = "User: It’s “fine”\nAssistant: OK — done\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *[(text, name) for text in (CHINESE, KOREAN, GERMAN, ENGLISH) for name in ("utf-16", "utf-16-le", "utf-16-be")],
        *[(CHINESE, "gbk"), (SHORT, "gbk"), (CHINESE, "gb18030"), (TAIWAN, "big5"), (KOREAN, "euc_kr")],
        *[(JAPANESE, "shift_jis"), (JAPANESE, "euc_jp"), (GERMAN, "utf-32"), (GERMAN, "utf-8-sig")],
        *[(text, "cp1252") for text in (GERMAN, FRENCH, SPANISH, ENGLISH)],
        *[(RUSSIAN, "cp1251"), (RUSSIAN, "koi8_r"), (POLISH, "cp1250"), (HUNGARIAN, "cp1250")],
    ],
)
def test_other_encodings_are_read(text, encoding):
    for times in (1, 30):
        assert decode((text * times).encode(encoding)).removeprefix("\ufeff") == text * times


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *[(CZECH, "cp1250"), (CZECH, "iso8859_2"), (POLISH, "iso8859_2"), (POLISH, "cp852"), (GERMAN[:60], "cp437")],
        *[
            (ENGLISH, "mac_roman"),
            (RUSSIAN, "iso8859_5"),
            (RUSSIAN, "mac_cyrillic"),
            (TAIWAN[:9], "gb18030"),
            (TURKISH, "cp1254"),
        ],
    ],
)
def test_what_is_not_certain_is_read_rightly_or_refused(text, encoding):
    try:
        assert decode(text.encode(encoding)) == text
    except UnknownEncoding as error:
        assert "another encoding (byte" in str(error) or "perhaps" in str(error)


def test_binary_files_are_refused():
    source = random.Random(1)
    for _ in range(50):
        with pytest.raises(UnknownEncoding):
            decode(b"\x89" + source.randbytes(300))


def test_a_long_text_without_speakers_is_told(tmp_path):
    (tmp_path / "notes.md").write_text("# Soil\n\nIt is loam.\n" * 200, encoding="utf-8")
    read = read_file(tmp_path / "notes.md", tmp_path)
    assert len(read.conversations) == 1
    assert not read.problems
    (notice,) = read.notices
    assert notice.startswith(f"{tmp_path / 'notes.md'}: a single turn of 4,000 characters")
    for name, text in (("short.md", "# Soil\n\nIt is loam.\n"), ("talk.md", "User: a\nAI: b\n" * 200)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert not read_file(tmp_path / name, tmp_path).notices
