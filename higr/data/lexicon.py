"""Words of the simulated catalogue: categories, their topics, and titles a person can read."""

from collections.abc import Mapping, Sequence

import numpy as np

CATEGORIES: Mapping[str, Mapping[str, str]] = {
    "Cooking": {
        "noodles": "ramen, udon, dumplings, broth, soba, dashi",
        "baking": "sourdough, croissants, focaccia, brioche, cinnamon rolls, rye bread",
        "grilling": "brisket, ribs, skewers, charcoal steak, smoked salmon, burgers",
        "vegetarian": "lentils, falafel, tofu, roasted squash, hummus, mushroom risotto",
        "desserts": "cheesecake, tiramisu, macarons, pavlova, chocolate mousse, apple pie",
        "coffee": "espresso, cold brew, latte art, moka pot, pour-over, flat white",
    },
    "Travel": {
        "islands": "lagoon, snorkelling, ferry hopping, coral reef, palm beach, fishing village",
        "mountains": "alpine hut, ridge walk, glacier, cable car, summit, scree slope",
        "cities": "night market, metro, rooftop, old town, tram ride, street corner",
        "camping": "tent, campfire, canoe, hammock, stove, forest clearing",
        "trains": "sleeper train, dining car, viaduct, steam engine, border crossing, timetable",
        "deserts": "dunes, oasis, caravan, canyon, starry sky, salt flat",
    },
    "Music": {
        "guitar": "fingerpicking, barre chords, slide guitar, riff, capo, open tuning",
        "piano": "nocturne, boogie, left hand, sonata, arpeggios, grand piano",
        "jazz": "saxophone, swing, bebop, trumpet solo, double bass, improvisation",
        "electronic": "synthesizer, techno, drum machine, sampler, modular rack, bassline",
        "folk": "banjo, fiddle, sea shanty, ballad, accordion, harmonies",
        "singing": "choir, vocal warm-up, falsetto, duet, a cappella, vibrato",
    },
    "Sports": {
        "football": "free kick, goalkeeper, derby, dribble, penalty, counter-attack",
        "basketball": "dunk, three-pointer, crossover, fast break, rebound, buzzer beater",
        "tennis": "backhand, serve, clay court, volley, rally, tie-break",
        "running": "marathon, intervals, trail run, cadence, finish line, long run",
        "cycling": "peloton, climb, gravel bike, sprint, time trial, descent",
        "climbing": "bouldering, crimps, belay, dyno, overhang, crack climb",
    },
    "Fitness": {
        "yoga": "sun salutation, warrior pose, breathing, balance, hip opener, savasana",
        "strength": "deadlift, squat, kettlebell, bench press, pull-up, barbell row",
        "stretching": "hamstrings, shoulder mobility, foam roller, spine twist, ankle drill, splits",
        "dance workout": "zumba, cardio dance, step routine, salsa steps, choreography, warm-up dance",
        "swimming": "freestyle, flip turn, butterfly stroke, open water, kickboard, breathing drill",
        "boxing": "jab, footwork, heavy bag, sparring, uppercut, skipping rope",
    },
    "Technology": {
        "phones": "camera phone, foldable, battery test, screen repair, unboxing, charger",
        "programming": "python script, debugger, compiler, refactoring, unit tests, open source",
        "robots": "robot arm, drone, servo, lawn robot, line follower, quadruped",
        "photography": "portrait lens, long exposure, tripod, street photo, film camera, lightroom",
        "computers": "mechanical keyboard, gpu build, water cooling, retro pc, home server, monitor",
        "electronics": "soldering, oscilloscope, arduino, circuit board, radio kit, led matrix",
    },
    "Gaming": {
        "strategy": "city builder, siege, tech tree, chess engine, turn order, empire",
        "shooters": "headshot, sniper, squad, clutch round, recoil, battle royale",
        "racing games": "drift, lap record, rally stage, pit stop, kart, hairpin",
        "puzzles": "sudoku, escape room, jigsaw, logic grid, sokoban, crossword",
        "retro games": "pixel art, arcade cabinet, cartridge, speedrun, chiptune, joystick",
        "role-playing": "dungeon, wizard build, boss fight, quest, dragon, loot",
    },
    "Animals": {
        "cats": "kitten, tabby, purring, cat tree, zoomies, whiskers",
        "dogs": "puppy, border collie, fetch, agility course, corgi, leash training",
        "birds": "kingfisher, parrot, nest box, owl, murmuration, hummingbird",
        "aquariums": "shrimp tank, aquascape, betta, driftwood, coral tank, guppies",
        "horses": "foal, dressage, gallop, stable, show jumping, hoof care",
        "wildlife": "fox, otter, elephant herd, bear cub, sea turtle, wolf pack",
    },
    "Science": {
        "space": "nebula, rocket launch, moon landing, telescope, black hole, mars rover",
        "chemistry": "crystal growing, titration, flame test, polymer, dry ice, periodic table",
        "biology": "microscope, tardigrade, cell division, fungi, enzyme, dna",
        "physics": "pendulum, magnet, superconductor, wave tank, gyroscope, laser",
        "dinosaurs": "fossil dig, triceratops, raptor, amber, jurassic, skeleton",
        "weather": "tornado, lightning, cloud types, hailstorm, northern lights, monsoon",
    },
    "History": {
        "romans": "aqueduct, legion, gladiator, forum, mosaic, emperor",
        "medieval": "castle, knight, catapult, monastery, longbow, blacksmith",
        "egypt": "pyramid, pharaoh, hieroglyphs, mummy, sphinx, papyrus",
        "explorers": "sextant, caravel, silk road, polar expedition, map room, shipwreck",
        "industry": "steam mill, loom, coal mine, iron bridge, factory, canal lock",
        "archaeology": "burial mound, pottery shard, trench dig, bronze age, coin hoard, rune stone",
    },
    "Comedy": {
        "stand-up": "open mic, punchline, crowd work, heckler, one-liner, roast",
        "sketches": "office sketch, parody, mockumentary, awkward dinner, fake advert, lip sync",
        "pranks": "hidden camera, fake spider, office prank, jump scare, rubber duck, whoopee cushion",
        "animation": "stop motion, cartoon short, claymation, flipbook, slapstick, talking animals",
        "fails": "blooper, slip, near miss, broken chair, cake drop, failed jump",
        "impressions": "celebrity voice, accent, movie quote, dubbing, mimicry, ventriloquist",
    },
    "Style": {
        "makeup": "eyeliner, foundation, lipstick, contour, blush, stage makeup",
        "hair": "braids, curls, fade cut, balayage, updo, beard trim",
        "street fashion": "sneakers, denim jacket, layering, thrift haul, tote bag, oversized hoodie",
        "skincare": "sunscreen, serum, moisturiser, face mask, retinol, cleanser",
        "sewing": "hemming, pattern cutting, quilt, embroidery, zip repair, linen shirt",
        "jewellery": "silver ring, beadwork, engraving, earrings, gemstone, wire wrapping",
    },
    "Home": {
        "gardening": "tomatoes, compost, raised bed, pruning, seedlings, greenhouse",
        "woodworking": "dovetail, lathe, walnut table, chisel, plywood shelf, hand plane",
        "cleaning": "decluttering, stain removal, laundry, grout, closet, oven scrub",
        "interiors": "small flat, wallpaper, reading nook, lamp, gallery wall, open kitchen",
        "houseplants": "monstera, repotting, succulents, propagation, terrarium, orchid",
        "repairs": "leaky tap, drywall, tiling, door hinge, plaster, bike puncture",
    },
    "Cars": {
        "classic cars": "roadster, chrome, barn find, carburettor, convertible, restoration",
        "electric cars": "fast charging, range test, battery pack, regenerative braking, wallbox, heat pump",
        "motorbikes": "cafe racer, cornering, helmet, touring bike, wheelie, scrambler",
        "off-road": "mud track, winch, rock crawl, pickup, river crossing, suspension",
        "detailing": "foam wash, ceramic coating, polish, wheel cleaning, clay bar, interior detail",
        "trucks": "big rig, trailer, diesel, truck stop, cab tour, night haul",
    },
    "Learning": {
        "languages": "spanish verbs, pronunciation, kanji, flash cards, small talk, grammar",
        "mathematics": "geometry, prime numbers, calculus, probability, fractions, proof",
        "drawing": "watercolour, portrait sketch, perspective, ink, gouache, shading",
        "study tips": "note taking, exam week, focus timer, memory palace, library day, mind map",
        "money": "budget, index fund, side job, savings plan, tax return, mortgage",
        "writing": "short story, haiku, plot twist, journaling, first draft, dialogue",
    },
    "Family": {
        "babies": "first steps, lullaby, baby food, nap time, peekaboo, stroller",
        "crafts": "origami, paper lantern, slime, finger paint, cardboard castle, knitting",
        "school": "lunch box, science fair, school run, spelling bee, backpack, bedtime reading",
        "grandparents": "old recipe, photo album, allotment, wartime story, card game, village life",
        "parties": "birthday cake, balloon arch, costume, treasure hunt, piñata, puppet show",
        "outings": "playground, zoo trip, picnic, museum day, sledging, farm visit",
    },
}
STYLES = (
    *("Slow", "Quick", "Classic", "Rainy-day", "Weekend", "Five-minute", "Perfect", "Unexpected", "Cosy"),
    *("Late-night", "Old-school", "Honest", "Tiny", "Golden-hour", "Low-budget", "First-time", "Everyday"),
)
LINKS = ("and", "with", "meets", "or", "after", "versus", "plus")
ENDINGS = (
    *("for rainy evenings", "for beginners", "on a budget", "step by step", "in one minute", "gone right"),
    *("you can try today", "with my neighbour", "from scratch", "before sunrise", "the honest truth"),
    *("in slow motion", "nobody told you about", "done properly", "for two", "one year later", "at home"),
)


def titles(rng: np.random.Generator, topics: Sequence[str], words: Sequence[str]) -> list[str]:
    """One a topic, such as "Slow ramen with dashi: noodles for rainy evenings".

    words: what each topic is about, separated by commas.
    """
    draws = rng.random((len(topics), 5))
    return [
        _title(topic, each.split(", "), row)
        for topic, each, row in zip(topics, words, draws.tolist(), strict=True)
    ]


def _title(topic: str, words: list[str], draws: list[float]) -> str:
    """draws: five numbers in [0, 1)."""
    style, link, ending = (
        choice[int(draw * len(choice))] for choice, draw in zip((STYLES, LINKS, ENDINGS), draws, strict=False)
    )
    first = int(draws[3] * len(words))
    second = (first + 1 + int(draws[4] * (len(words) - 1))) % len(words)
    return f"{style} {words[first]} {link} {words[second]}: {topic} {ending}"
