"""Encode prompts for the UNet with Compel: weights, prompts of any length, and a cache of encoded texts.

No prompt is truncated: a long one is encoded in several windows of the text encoder. The pooled embedding of SDXL
comes from the first window only, as in training. A prompt and its negative prompt are padded to a common length. They
are never padded to the length of another image's prompt, because padding changes the image.
"""

import functools
import re
from dataclasses import dataclass

import torch
from compel import Compel, DiffusersTextualInversionManager
from compel.embeddings_provider import EmbeddingsProvider
from compel.prompt_parser import Conjunction, FlattenedPrompt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipeline.diffusion.types import DiffusionPipeline
from pipeline.errors import PromptWeightError
from pipeline.recipes.prompt_weights import SYNTAX_ERRORS, parse_prompt

CACHED_PROMPTS = 512  # texts, about 120 kB each for SD 1.5
# Compel reports a weighted word that it cannot find among the tokens as a RuntimeError.
_WORD_NOT_FOUND = re.compile(r"couldn't find (start|end) of token sequence|token sequence mismatch for fragment")


@dataclass(frozen=True)
class PromptEmbedding:
    """The embeddings of a prompt and its negative prompt.

    Attributes:
        prompt: [1, 77 * chunks, width].
        negative: [1, 77 * chunks, width].
        pooled: [1, width] for SDXL, else None.
        negative_pooled: [1, width] for SDXL, else None.
        chunks: The number of windows of 77 tokens.
    """

    prompt: torch.Tensor
    negative: torch.Tensor
    pooled: torch.Tensor | None
    negative_pooled: torch.Tensor | None
    chunks: int


@dataclass(frozen=True)
class _EncodedText:
    """The embeddings of one text.

    Attributes:
        states: One tensor for each text encoder, [1, 77 * chunks, width of the encoder].
        pooled: The pooled embedding of the second text encoder, [1, width]. None without one.
    """

    states: tuple[torch.Tensor, ...]
    pooled: torch.Tensor | None


class PromptEncoder:
    """The text encoders of a loaded pipeline.

    Args:
        pipe: The pipeline.
        clip_skip: The number of last layers of the text encoders to skip, as in diffusers.
        cache: Whether to keep the embeddings of the last `CACHED_PROMPTS` distinct texts.
    """

    def __init__(self, pipe: DiffusionPipeline, clip_skip: int = 0, *, cache: bool = True) -> None:
        self._xl = getattr(pipe, "text_encoder_2", None) is not None
        models = [(pipe.tokenizer, pipe.text_encoder)]
        models += [(pipe.tokenizer_2, pipe.text_encoder_2)] if self._xl else []
        self._encoders = [_compel(pipe, tokenizer, model, clip_skip, xl=self._xl) for tokenizer, model in models]
        self._cached = functools.lru_cache(maxsize=CACHED_PROMPTS)(self._encode_text) if cache else self._encode_text

    def encode(self, prompt: str, negative: str, *, use_cache: bool = True) -> PromptEmbedding:
        """Encode a prompt and its negative prompt.

        Args:
            prompt: The prompt, with weights in the syntax of Compel.
            negative: The negative prompt, in the same syntax.
            use_cache: Whether cached embeddings may be used. Pass False if the dtype of the encoders has changed.

        Raises:
            PromptError: A weight of a prompt is invalid, or Compel syntax such as `.swap()` is not supported.
        """
        encode_text = self._cached if use_cache else self._encode_text
        texts = [encode_text(text) for text in (prompt, negative)]
        states = [
            torch.cat(encoder.pad_conditioning_tensors_to_same_length([text.states[index] for text in texts]))
            for index, encoder in enumerate(self._encoders)
        ]
        both = torch.cat(states, dim=-1)  # [2, 77 * chunks, width]
        chunks = both.shape[1] // self._encoders[0].conditioning_provider.max_token_count
        return PromptEmbedding(both[:1], both[1:], texts[0].pooled, texts[1].pooled, chunks)

    @torch.inference_mode()
    def _encode_text(self, text: str) -> _EncodedText:
        parsed = parse_prompt(text, xl=self._xl)
        try:
            states = [encoder.build_conditioning_tensor_for_conjunction(parsed)[0] for encoder in self._encoders]
        except (*SYNTAX_ERRORS, RuntimeError) as error:
            if not _is_prompt_error(error):
                raise
            raise PromptWeightError(f"prompt {text!r}: {error}") from error
        provider = self._encoders[-1].conditioning_provider
        return _EncodedText(
            tuple(states), provider.get_pooled_embeddings([_without_weights(parsed)]) if self._xl else None
        )


def _is_prompt_error(error: Exception) -> bool:
    """Return whether an error of Compel concerns the prompt, and not the device, which raises RuntimeErrors too."""
    return isinstance(error, SYNTAX_ERRORS) or bool(_WORD_NOT_FOUND.search(str(error)))


class _EmbeddingsProvider(EmbeddingsProvider):  # type: ignore[misc]  # Compel has no type hints
    """A Compel provider that can skip any number of layers. Compel itself can skip only the last one.

    Attributes:
        clip_skip: The number of last layers to skip.
        xl: Whether the text encoder belongs to SDXL.
    """

    clip_skip: int
    xl: bool

    def _encode_token_ids_to_embeddings(
        self, token_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the states of a layer of the text encoder, [N, 77, width], as diffusers does for `clip_skip`.

        SDXL was trained on the last layer but one, without the final layer norm.
        """
        output = self.text_encoder(token_ids, attention_mask, output_hidden_states=True, return_dict=True)
        states: torch.Tensor
        if self.xl:
            states = output.hidden_states[-(self.clip_skip + 2)]
        elif self.clip_skip:
            states = self.text_encoder.final_layer_norm(output.hidden_states[-(self.clip_skip + 1)])
        else:
            states = output.last_hidden_state
        return states


def _compel(
    pipe: DiffusionPipeline, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, clip_skip: int, *, xl: bool
) -> Compel:
    """Build Compel for one text encoder of a pipeline."""
    # With low memory, a model computes on another device than the one that stores it.
    device = pipe._execution_device  # noqa: SLF001 - no public name
    inversions = _TextualInversions(pipe, tokenizer)
    compel = Compel(tokenizer, model, textual_inversion_manager=inversions, truncate_long_prompts=False, device=device)
    provider = _EmbeddingsProvider(
        tokenizer, model, textual_inversion_manager=inversions, truncate=False, device=device
    )
    provider.clip_skip, provider.xl = clip_skip, xl
    compel.conditioning_provider = provider
    return compel


class _TextualInversions(DiffusersTextualInversionManager):  # type: ignore[misc]  # Compel has no type hints
    """The textual inversions of one tokenizer. The base class supports only the first tokenizer of a pipeline."""

    def __init__(self, pipe: DiffusionPipeline, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(pipe)
        self._tokenizer = tokenizer

    def expand_textual_inversion_token_ids_if_necessary(self, token_ids: list[int]) -> list[int]:
        """Replace the token of a textual inversion by the tokens of all of its vectors."""
        added = self._tokenizer.get_added_vocab().values()
        if not any(token in added for token in token_ids):
            return token_ids
        text = self.pipe.maybe_convert_prompt(self._tokenizer.decode(token_ids), self._tokenizer)
        expanded: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return expanded


def _without_weights(parsed: Conjunction) -> str:
    """Return the words of a prompt without weights, because a pooled embedding cannot have any."""
    prompts = [part for part in parsed.prompts if isinstance(part, FlattenedPrompt)]
    return " ".join(fragment.text for prompt in prompts for fragment in prompt.children)
