"""Words by which a location's parts are told apart: countries, codes of regions, streets and venues."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip().casefold() for name in text.split(","))


COUNTRIES = _names(
    """
    Afghanistan, Albania, Algeria, Andorra, Angola, Argentina, Armenia, Australia, Austria, Azerbaijan,
    Bahamas, Bahrain, Bangladesh, Barbados, Belarus, Belgium, Belize, Benin, Bhutan, Bolivia,
    Bosnia and Herzegovina, Botswana, Brazil, Brunei, Bulgaria, Burkina Faso, Burundi, Cambodia, Cameroon,
    Canada, Cape Verde, Chad, Chile, China, Colombia, Comoros, Congo, Costa Rica, Croatia, Cuba, Cyprus,
    Czechia, Czech Republic, Denmark, Djibouti, Dominica, Dominican Republic, Ecuador, Egypt, El Salvador,
    Eritrea, Estonia, Eswatini, Ethiopia, Fiji, Finland, France, Gabon, Gambia, Germany, Ghana, Greece,
    Grenada, Guatemala, Guinea, Guyana, Haiti, Honduras, Hong Kong, Hungary, Iceland, India, Indonesia,
    Iran, Iraq, Ireland, Israel, Italy, Ivory Coast, Jamaica, Japan, Jordan, Kazakhstan, Kenya, Kosovo,
    Kuwait, Kyrgyzstan, Laos, Latvia, Lebanon, Lesotho, Liberia, Libya, Liechtenstein, Lithuania,
    Luxembourg, Madagascar, Malawi, Malaysia, Maldives, Mali, Malta, Mauritania, Mauritius, Mexico,
    Moldova, Monaco, Mongolia, Montenegro, Morocco, Mozambique, Myanmar, Namibia, Nepal, Netherlands,
    The Netherlands, New Zealand, Nicaragua, Niger, Nigeria, North Korea, North Macedonia, Norway, Oman,
    Pakistan, Palestine, Panama, Papua New Guinea, Paraguay, Peru, Philippines, Poland, Portugal, Qatar,
    Romania, Russia, Rwanda, Samoa, San Marino, Saudi Arabia, Senegal, Serbia, Seychelles, Sierra Leone,
    Singapore, Slovakia, Slovenia, Solomon Islands, Somalia, South Africa, South Korea, South Sudan, Spain,
    Sri Lanka, Sudan, Suriname, Sweden, Switzerland, Syria, Taiwan, Tajikistan, Tanzania, Thailand, Togo,
    Tonga, Trinidad and Tobago, Tunisia, Turkey, Turkmenistan, Uganda, Ukraine, United Arab Emirates,
    United Kingdom, England, Scotland, Wales, Northern Ireland, United States, United States of America,
    Uruguay, Uzbekistan, Vanuatu, Vatican City, Venezuela, Vietnam, Yemen, Zambia, Zimbabwe, Deutschland,
    Österreich, Schweiz, Suisse, Svizzera, España, Italia, Nederland, België, Belgique, Polska, Brasil,
    México, Perú, Sverige, Norge, Danmark, Suomi, Ísland, Česko, Slovensko, Magyarország, Türkiye, România,
    Ελλάδα, Україна, Россия, България, UK, U.K., US, U.S., USA, U.S.A., UAE, GB, DE, AT, CH, FR, ES, IT, PT,
    NL, BE, PL, SE, NO, DK, FI, IE, CZ, HU, GR, RO, BG, AU, NZ, JP, KR, CN, BR, MX, ZA
    """
)
"""English names, some people's own, and codes that are no code of an American or Canadian region."""

HOUSE_NUMBER_FIRST = _names(
    """
    Australia, AU, Canada, England, GB, Hong Kong, India, Ireland, IE, Israel, Malaysia, New Zealand, NZ,
    Northern Ireland, Philippines, Scotland, Singapore, South Africa, ZA, Thailand, U.K., U.S., U.S.A., UK,
    United Kingdom, United States, United States of America, US, USA, Vietnam, Wales
    """
)
"""Where digits before a name may number a house; elsewhere four or five of them are a postcode."""

REGION_CODES = _words(
    """
    AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND
    OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR AB BC MB NB NL NS NT NU ON PE QC SK YT NSW QLD
    SA TAS VIC WA ACT
    """
)
"""States, provinces and territories of the United States, Canada and Australia."""

NOT_PLACES = _words(
    """
    st street ave avenue rd road blvd boulevard ln lane dr drive ct court pl place sq square ter terrace
    hwy highway pkwy parkway way alley row close crescent mews quay embankment broadway apt apartment suite
    ste unit floor fl room rm building bldg block house flat tower box po rue allée chemin impasse quai
    calle avenida paseo plaza camino carrera via viale corso piazza rua travessa praça ul ulica gata
    home office work school university college hospital clinic hotel hostel church mosque synagogue temple
    airport station terminal gate mall shop store restaurant café cafe bar gym studio my our his her at
    near opposite behind beside latitude longitude lat lon lng gps ip postcode zip
    """
)
"""Words of streets and venues."""

STREET_ENDINGS = tuple(
    _words(
        "straße strasse str gasse weg platz allee damm ufer straat laan gracht plein gatan vägen gade "
        "vej katu"
    )
)
"""Endings of compound names of streets."""

PARTICLES = _words(
    """
    a al am an and auf aux bei da das de del della den der des di do dos du e el en i im in la las le les
    los of on sous sur the und upon van ved vom von y zu zum zur å
    """
)
"""Small words within names of places, which have no capital."""
