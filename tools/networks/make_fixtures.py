"""Writes fixtures/networks/*.safetensors: networks with random weights and what they compute, for packages/models/test/networks.

    python tools/networks/make_fixtures.py

Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.0. Weights are float32 values; the networks
run in float64 and their results are rounded to float32 at the end, so that a test measures the error of the tested side alone.

Each file: the config as JSON in the metadata (`config`), weights under `weight.NAME`, inputs under `in.NAME`, results under `out.NAME`,
gradients of mean(result * direction) under `grad.NAME` and in `grad_norms` the Euclidean norms of the gradients of all weights, in the order of
their sorted names.
"""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

OUT = Path(__file__).resolve().parents[2] / "fixtures" / "networks"


def randomise(model, generator):
    """Every parameter gets a value that matters: an initial bias of zero or gain of one would hide that it is not read."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() == 1:
                p.copy_((1 + 0.2 * noise) if "norm" in name and name.endswith("weight") else 0.1 * noise)
            elif "embedding" in name and "time" not in name:
                p.copy_(0.5 * noise)
            else:
                p.copy_(0.6 * noise / p[0].numel() ** 0.5)
    return model.double().eval()


def f32(t):
    return t.detach().float().contiguous()


def save(name, config, model, inputs, results, gradients=None):
    tensors = {f"weight.{k}": f32(v) for k, v in model.named_parameters()}
    tensors |= {f"in.{k}": v.contiguous() for k, v in inputs.items()}
    tensors |= {f"out.{k}": f32(v) for k, v in results.items()}
    tensors |= {k: f32(v) for k, v in (gradients or {}).items()}
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.safetensors"
    save_file(tensors, path, {"config": json.dumps(config)})
    print(path.name, path.stat().st_size)


def gradients_of(model, result, direction, inputs, wanted):
    """Of mean(result * direction): of the inputs and of `wanted` weights whole, of every weight its norm."""
    for p in model.parameters():
        p.grad = None
    (result * direction).mean().backward()
    named = dict(model.named_parameters())
    return (
        {f"grad.{k}": v.grad for k, v in inputs.items()}
        | {f"grad.{k}": named[k].grad for k in wanted}
        | {"grad_norms": torch.stack([named[k].grad.norm() for k in sorted(named)])}
    )


def unet(name, seed, cases, wanted, **config):
    generator = torch.Generator().manual_seed(seed)
    model = randomise(UNet2DConditionModel(**config), generator)
    inputs, results = {}, {}
    for case, (size, length, timesteps) in cases.items():
        batch = len(timesteps)
        sample = torch.randn(batch, config["in_channels"], *size, generator=generator)
        context = torch.randn(batch, length, config["cross_attention_dim"], generator=generator)
        t = torch.tensor(timesteps)
        inputs |= {f"{case}.sample": sample, f"{case}.timestep": t, f"{case}.context": context}
        x, c = sample.double().requires_grad_(), context.double().requires_grad_()
        labels = None
        if rows := config.get("num_class_embeds"):
            # The first and the last row are among them.
            labels = torch.tensor([(rows - 1 + 5 * i) % rows for i in range(batch)])
            inputs[f"{case}.class_labels"] = labels
        results[case] = model(x, t, c, class_labels=labels).sample
    # Of the last case.
    direction = torch.randn(results[case].shape, generator=generator)
    inputs["direction"] = direction
    gradients = gradients_of(model, results[case], direction.double(), {"sample": x, "context": c}, wanted)
    save(name, config, model, inputs, results, gradients)


def text(name, seed, ids, **config):
    model = randomise(CLIPTextModel(CLIPTextConfig(**config, attn_implementation="eager")), torch.Generator().manual_seed(seed))
    with torch.no_grad():
        out = model(input_ids=ids, output_hidden_states=True)
        norm = getattr(model, "text_model", model).final_layer_norm
        results = {f"hidden_states.{i}": h for i, h in enumerate(out.hidden_states)}
        results |= {"last_hidden_state": out.last_hidden_state, "pooled": out.pooler_output}
        results["clip_skip_2"] = norm(out.hidden_states[-2])
        # Chunks as AUTOMATIC1111 stable-diffusion-webui v1.10.1 joins them (sd_hijack_clip.py, `forward`): each encoded alone, then hstack.
        results["chunks"] = torch.hstack([model(input_ids=ids[i :: 2]).last_hidden_state for i in range(2)])
    # Checkpoints name the weights with this prefix, whatever the class does in memory.
    prefix = "" if next(iter(model.state_dict())).startswith("text_model.") else "text_model."
    inputs = {"input_ids": ids}
    tensors = {f"weight.{prefix}{k}": f32(v) for k, v in model.named_parameters()}
    tensors |= {f"in.{k}": v for k, v in inputs.items()} | {f"out.{k}": f32(v) for k, v in results.items()}
    path = OUT / f"{name}.safetensors"
    save_file(tensors, path, {"config": json.dumps(config)})
    print(path.name, path.stat().st_size)


def vae(name, seed, pixels, latents, **config):
    generator = torch.Generator().manual_seed(seed)
    config = dict(
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * len(config["block_out_channels"]),
        up_block_types=["UpDecoderBlock2D"] * len(config["block_out_channels"]),
        **config,
    )
    model = randomise(AutoencoderKL(**config), generator)
    images = torch.rand(pixels, generator=generator) * 2 - 1
    z = torch.randn(latents, generator=generator)
    with torch.no_grad():
        # Two channels of the logarithm of the variance lie at its bounds, so that both clamps act on some elements.
        bias = (model.quant_conv or model.encoder.conv_out).bias
        bias[config["latent_channels"]], bias[config["latent_channels"] + 1] = 20, -30
        posterior = model.encode(images.double()).latent_dist
        results = {"mean": posterior.mean, "logvar": posterior.logvar, "pixels": model.decode(z.double()).sample}
    save(name, config, model, {"pixels": images, "latents": z}, results)


def main():
    torch.set_num_threads(1)
    unet(
        "sd2-unet",
        seed=1,
        cases={"odd": ((7, 10), 5, [0, 999, 421]), "wide": ((4, 8), 9, [37, 640])},
        wanted=["down_blocks.1.attentions.0.proj_in.weight", "up_blocks.1.resnets.0.norm1.weight", "time_embedding.linear_2.bias"],
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        block_out_channels=[8, 8],
        layers_per_block=1,
        transformer_layers_per_block=[1, 2],
        attention_head_dim=[2, 4],
        cross_attention_dim=10,
        norm_num_groups=4,
        use_linear_projection=True,
        upcast_attention=True,
    )
    unet(
        "uneven-unet",
        seed=2,
        cases={"square": ((6, 6), 3, [250]), "odd": ((5, 7), 4, [871, 1])},
        wanted=["conv_in.weight", "up_blocks.0.upsamplers.0.conv.weight"],
        sample_size=8,
        in_channels=5,
        out_channels=3,
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"],
        block_out_channels=[5, 10],
        layers_per_block=[1, 2],
        attention_head_dim=[1, 2],
        cross_attention_dim=7,
        norm_num_groups=5,
        norm_eps=1e-3,
        flip_sin_to_cos=False,
        freq_shift=1,
    )
    # The x4 upscaler's shape: no attention in the first block, none but of the text in the next.
    unet(
        "upscaler-unet",
        seed=9,
        cases={"square": ((8, 8), 4, [10]), "odd": ((7, 6), 3, [871, 0, 420])},
        wanted=["class_embedding.weight", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k.weight", "conv_in.weight"],
        sample_size=8,
        in_channels=7,
        out_channels=4,
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        block_out_channels=[4, 6, 8],
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=5,
        norm_num_groups=2,
        use_linear_projection=True,
        only_cross_attention=[True, True, False],
        num_class_embeds=7,
    )

    generator = torch.Generator().manual_seed(3)
    # Two rows hold added tokens, numbered above the end token; padding is the end token or another; one row has no end token.
    ids = torch.randint(0, 40, (6, 19), generator=generator)
    ids[:, 0] = 40
    for row, length in enumerate([4, 9, 18, 6, 12]):
        ids[row, length:] = 41 if row != 3 else 0
        ids[row, length] = 41
    ids[0, 2], ids[2, 7] = 43, 42
    shared = dict(
        vocab_size=44, hidden_size=8, intermediate_size=20, num_hidden_layers=3, num_attention_heads=2, max_position_embeddings=19,
        bos_token_id=40, eos_token_id=41, pad_token_id=0, projection_dim=8,
    )  # fmt: skip
    text("gelu-text", 4, ids, **shared, hidden_act="gelu", layer_norm_eps=1e-3)
    legacy = torch.randint(0, 42, (4, 19), generator=generator)
    legacy[:, 0], legacy[0, 5:], legacy[1, 18], legacy[2, 11:], legacy[3, 1:] = 42, 43, 43, 43, 43
    text("legacy-text", 6, legacy, **(shared | dict(bos_token_id=0, eos_token_id=2, pad_token_id=1, num_hidden_layers=2)))

    vae(
        "plain-vae", 7, (3, 3, 13, 18), (3, 5, 3, 5),
        block_out_channels=[3, 6], layers_per_block=1, latent_channels=5, norm_num_groups=3,
        use_quant_conv=False, use_post_quant_conv=False,
    )  # fmt: skip
    vae(
        "no-attention-vae", 8, (2, 3, 8, 20), (2, 4, 2, 5),
        block_out_channels=[4, 8, 8], layers_per_block=1, latent_channels=4, norm_num_groups=4,
        mid_block_add_attention=False,
    )  # fmt: skip


main()
