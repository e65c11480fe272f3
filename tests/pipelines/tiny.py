"""A run that is real in all its parts and over in a minute."""

OVERRIDES = {
    "data.simulator.users": 60,
    "data.simulator.items": 80,
    "data.simulator.slates_per_user": 8,
    "tokenizer.epochs": 3,
    "tokenizer.codebook_size": 16,
    "tokenizer.gate.max_collision": 1,
    "tokenizer.gate.min_concentration": 0,
    "tokenizer.gate.min_consistency": 0,
    "tokenizer.gate.min_codebook_use": 0,
    "model.width": 16,
    "model.heads": 2,
    "model.feedforward": 16,
    "model.encoder_layers": 1,
    "model.planner_layers": 1,
    "training.epochs": 1,
    "baseline.trees": 5,
    "decode.beam_width": 4,
    "evaluation.max_slates": 40,
    "evaluation.bootstrap": 100,
}
